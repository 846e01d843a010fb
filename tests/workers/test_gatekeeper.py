"""What the guard compares: two models on the same samples, as these are now."""

from __future__ import annotations

import pytest

from tests.workers.guarded import guard_of, model_of, promoted, right, snapshot, spoil, teach
from titand.learning.gate import Verdict
from titand.runtime.arena import HELD_OUT, RELEASED


def test_the_first_is_promoted_when_enough_samples_are_held_out(home):
    assert home.guard.look().verdict is Verdict.PROMOTED
    for slot in home.arena.slots_in(HELD_OUT)[29:]:
        home.arena.state[slot] = RELEASED
    assert home.guard.look().verdict is Verdict.UNJUDGED


def test_both_models_answer_the_same_samples_and_are_counted_as_pairs(home):
    teach(home, 5)
    best = model_of(home, home.trainer.state())
    name = promoted(home)
    teach(home, 30)
    gate = home.guard.look()
    mine, theirs = right(home, model_of(home, home.trainer.state())), right(home, best)
    pairs = gate.held_out.pairs
    assert pairs.count == len(mine) == 60
    assert pairs.better == sum(a and not b for a, b in zip(mine, theirs, strict=True))
    assert pairs.worse == sum(b and not a for a, b in zip(mine, theirs, strict=True))
    assert (gate.best, gate.round) == (name, 35)
    assert sum(gate.held_out.result.correct_counts) == sum(mine)
    assert sum(gate.held_out.result.mistakes.values()) == 60 - sum(mine)


def test_after_a_promotion_the_new_best_is_what_is_compared_with(home):
    teach(home, 2)
    promoted(home)
    teach(home, 30)
    home.guard.look()
    home.guard.promote(snapshot(home))
    best = right(home, model_of(home, home.trainer.state()))
    spoil(home)
    pairs = home.guard.look().held_out.pairs
    mine = right(home, model_of(home, home.trainer.state()))
    assert pairs.worse == sum(b and not a for a, b in zip(mine, best, strict=True)) > 30


def test_samples_that_are_new_since_are_asked_of_the_best_as_well(home):
    teach(home, 30)
    best = model_of(home, home.trainer.state())
    promoted(home)
    for slot in home.arena.slots_in(HELD_OUT)[:20]:
        home.arena.state[slot] = RELEASED
    home.selector._held_out_ratio, home.selector.evaluator.held_out._capacity = 1.0, 100
    home.feed(15)
    home.filter()
    gate = home.guard.look()
    mine, theirs = right(home, model_of(home, home.trainer.state())), right(home, best)
    assert gate.held_out.pairs.count == len(mine) > 50
    assert gate.held_out.pairs.difference == pytest.approx((sum(mine) - sum(theirs)) / len(mine))


@pytest.mark.parametrize("how", ["released", "another sample is in its slot"])
def test_a_sample_that_goes_while_it_is_read_is_left_out(home, how, monkeypatch):
    teach(home, 5)
    promoted(home)
    going = home.arena.slots_in(HELD_OUT)[7]
    reader = home.guard._gatekeeper._reader
    read = reader.inputs

    def inputs(slots):
        x = read(slots)
        if how == "released":
            home.arena.state[going] = RELEASED
        else:
            home.arena.number[going] = 10**6
        return x

    monkeypatch.setattr(reader, "inputs", inputs)
    gate = home.guard.look()
    assert gate.held_out.pairs.count == 59


def test_a_label_that_was_corrected_counts_for_both(home):
    teach(home, 30)
    promoted(home)
    for slot in home.arena.slots_in(HELD_OUT):
        home.arena.label[slot] = (home.arena.label[slot] + 1) % 3
    gate = home.guard.look()
    assert gate.held_out.pairs.difference == 0
    assert gate.held_out.result.accuracy < 0.5


def test_a_successor_judges_like_its_predecessor(home):
    teach(home, 5)
    promoted(home)
    teach(home, 20)
    again = guard_of(home, home.guard.to_plain())
    assert again.look().held_out == home.guard.look().held_out


def test_a_best_that_is_damaged_or_gone_is_none(home):
    teach(home, 5)
    name = promoted(home)
    (home.store.folder / name / "model.safetensors").write_bytes(b"no")
    gate = home.guard.look()
    assert (gate.verdict, gate.best, gate.held_out.pairs) == (Verdict.PROMOTED, "", None)


def test_a_comparison_changes_nothing(home):
    teach(home, 5)
    promoted(home)
    teach(home, 5)
    before = bytes(home.board.slot(0)), bytes(home.board.slot(1))
    home.guard.look()
    assert (bytes(home.board.slot(0)), bytes(home.board.slot(1))) == before
    teach(home, 1)
    assert bytes(home.board.slot(home.trainer.version)) != before[home.trainer.version % 2]
