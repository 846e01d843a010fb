"""Which parameters the guard goes back to, how often, and when it stops trying."""

from __future__ import annotations

import math

import pytest

from tests.workers.guarded import BAD, batch_of, equal, guard_of, model_of, promoted, snapshot, spoil, teach
from titand.errors import ModelError, NotFound
from titand.learning.gate import Pairs, Verdict
from titand.storage.tensors import encode_tensors
from titand.workers.checkpoints import CheckpointFacts, CheckpointWriter, model_fingerprint, sample_fingerprint


def test_a_model_that_lost_what_it_knew_is_rolled_back_to_the_best(home):
    teach(home, 30)
    good = model_of(home, home.trainer.state())
    name = promoted(home)
    spoil(home)
    gate = home.guard.look()
    assert gate.verdict is Verdict.FAILED
    assert home.guard.fail(gate)
    assert equal(model_of(home, home.trainer.state()), good)
    told = home.guard.to_plain()["last"]
    assert (told["source"], told["reason"], told["round"]) == (name, "GATE_FAILED", 31)
    assert [item["code"] for item in home.guard.health()] == ["MODEL_ROLLED_BACK"]
    assert home.trainer.rate_factor == 1.0
    assert home.guard.look().held_out.pairs == Pairs(60, 0, 0)  # it is the best itself
    assert home.guard.health() == []


def save(pair, state) -> None:
    facts = CheckpointFacts(3, model_fingerprint(pair.config), sample_fingerprint(pair.config), False, False)
    writer = CheckpointWriter(pair.config.checkpoint_folder, pair.arena, 10**9, 0.0, pair.clock, with_samples=False)
    assert writer.write(facts, state, None)


@pytest.mark.parametrize("is_finite", [True, False])
def test_without_a_best_it_goes_back_to_the_last_checkpoint_or_to_the_beginning(home, is_finite):
    initial = model_of(home, home.trainer.state())
    teach(home, 3)
    state = bytearray(home.trainer.state())
    if not is_finite:
        home.layout.views(state)["head.weight"].fill_(math.inf)
    save(home, memoryview(state))
    expected = model_of(home, state) if is_finite else initial
    teach(home, 3)
    assert [home.guard.watch(batch_of(home, 7), BAD) for _ in range(3)][-1]
    assert home.guard.to_plain()["last"]["source"] == ("checkpoint" if is_finite else "initial")
    assert equal(model_of(home, home.trainer.state()), expected)


def test_who_sets_another_learning_rate_gets_it_uncut(home):
    memory = {"rate_factor": 0.25, "learning_rate": home.config.training.learning_rate}
    guard_of(home, memory)
    assert home.trainer.rate_factor == 0.25
    home.trainer.rate_factor = 1.0
    guard_of(home, memory | {"learning_rate": 7.0})
    assert home.trainer.rate_factor == 1.0


def test_rollbacks_in_a_row_pause_the_training_until_somebody_resumes(home):
    teach(home, 30)
    promoted(home)
    for count in (1, 2, 3):
        assert not home.guard.is_pausing
        for _ in range(3):
            home.guard.watch(batch_of(home, 31), BAD)
        assert home.guard.to_plain()["automatic"] == count
    assert home.guard.is_pausing
    assert guard_of(home, home.guard.to_plain()).is_pausing
    assert [(item["code"], item["severity"]) for item in home.guard.health()] == [("MODEL_ROLLED_BACK", "error")]
    home.guard.resume()
    assert not home.guard.is_pausing
    for _ in range(3):
        home.guard.watch(batch_of(home, 31), BAD)
    assert not home.guard.is_pausing


def test_a_comparison_that_is_passed_between_ends_the_row(home):
    teach(home, 30)
    promoted(home)
    for _ in range(6):
        for _ in range(3):
            home.guard.watch(batch_of(home, 31), BAD)
        assert home.guard.look().verdict is Verdict.KEPT
    assert not home.guard.is_pausing


def test_a_rollback_on_request_goes_anywhere_and_is_remembered(home):
    teach(home, 3)
    name, old = snapshot(home), model_of(home, home.trainer.state())
    teach(home, 3)
    done = home.guard.roll_back(name, "it was better")
    assert (done["source"], done["reason"], done["round"]) == (name, "REQUESTED", 7)
    assert "it was better" in done["message"]
    assert equal(model_of(home, home.trainer.state()), old)
    assert home.guard.health() == []
    memory = home.guard.to_plain()
    home.start()  # the trainer died before the next round
    assert not equal(model_of(home, home.trainer.state()), old)
    guard_of(home, memory)
    assert equal(model_of(home, home.trainer.state()), old)
    teach(home, 1)
    after = bytes(home.trainer.state())
    guard_of(home, memory)  # the round is done: not again
    assert bytes(home.trainer.state()) == after


@pytest.mark.parametrize(("name", "error"), [("r00000099", NotFound), ("r00000002", ModelError)])
def test_a_rollback_to_what_is_not_there_or_of_another_model_changes_nothing(home, name, error):
    teach(home, 3)
    other = {"x": next(iter(home.trainer.model_tensors().values()))}
    home.store.create(2, encode_tensors(other), model=home.spec, create_time_ns=1)
    before = bytes(home.trainer.state())
    with pytest.raises(error):
        home.guard.roll_back(name, "")
    assert bytes(home.trainer.state()) == before
    assert home.guard.to_plain()["last"] is None
