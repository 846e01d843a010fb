"""The guard around a real trainer: what it compares, when it goes back, to what, and when it stops trying."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np
import pytest
import torch

from tests.workers.pair import MEAN, STD, Plan, probabilities
from titand.config import GuardConfig, ServiceConfig
from titand.errors import ConfigError, ModelError, NotFound
from titand.learning.gate import Pairs, Verdict
from titand.learning.models.zoo import build
from titand.learning.state import model_tensors
from titand.learning.trainer import StepReport
from titand.records import Batch
from titand.runtime.arena import HELD_OUT, RELEASED, SELECTED
from titand.runtime.log import Log
from titand.storage.snapshots import SnapshotStore
from titand.storage.tensors import encode_tensors
from titand.workers.checkpoints import CheckpointFacts, CheckpointWriter, model_fingerprint, sample_fingerprint
from titand.workers.golden import load_golden
from titand.workers.guard import Guard

GOOD = StepReport(1.0, 1.0, 1.0, 0.1, finite=True)
BAD = StepReport(math.nan, math.nan, math.nan, 0.1, finite=False)


@pytest.fixture
def home(pairs, tmp_path):
    """A trainer with sixty held-out samples, its snapshots, and a guard."""
    made = pairs(Plan(held_out_ratio=1.0, held_out_samples=60, slot_count=160))
    for folder in ("snapshots", "checkpoints"):
        (tmp_path / folder).mkdir()
    made.config = dataclasses.replace(
        made.config, service=ServiceConfig(state_directory=str(tmp_path)), guard=GuardConfig(every_rounds=5)
    )
    made.start()
    made.feed(60)
    made.filter()
    assert made.states().count(HELD_OUT) == 60
    made.selector._held_out_ratio = 0.0
    made.feed(64)
    made.store = SnapshotStore(tmp_path / "snapshots")
    made.guard = guard_of(made)
    return made


def guard_of(pair, memory=None) -> Guard:
    return Guard(pair.around(), pair.trainer, pair.store, memory or {}, Log("test", "error"))


def batch_of(pair, round: int) -> Batch:
    """A batch of samples that are not held out."""
    generator = torch.Generator().manual_seed(round)
    slots = (60 + torch.randperm(64, generator=generator)[:8]).tolist()
    for slot in slots:
        pair.arena.round[slot], pair.arena.state[slot] = round, SELECTED
    return Batch(round, tuple(slots), (1.0,) * 8, max(0, round - 2), {})


def teach(pair, rounds: int = 30) -> None:
    """Train on samples of the three classes, so that the model knows them."""
    for _ in range(rounds):
        round = pair.trainer.version + 1
        pair.trainer.on_batch(batch_of(pair, round), 0.0)


def snapshot(pair, gate=None) -> str:
    made = pair.store.create(
        pair.trainer.version,
        encode_tensors(pair.trainer.model_tensors()),
        model=pair.spec,
        create_time_ns=1,
        gate=None if gate is None else gate.to_plain(),
    )
    return made.name


def promoted(pair) -> str:
    """Make the present parameters the best."""
    gate = pair.guard.look()
    assert gate.verdict is Verdict.PROMOTED, gate.message
    name = snapshot(pair, gate)
    pair.guard.promote(name)
    return name


def spoil(pair) -> None:
    """Put parameters on the board that answer the wrong class."""
    for name, view in pair.layout.views(pair.board.slot(pair.trainer.version)).items():
        if name.startswith("head."):
            view.copy_(view.roll(1, 0))


def model_of(pair, state) -> dict[str, torch.Tensor]:
    names = model_tensors(pair.trainer._learner.model)
    return {name: view.clone() for name, view in pair.layout.views(state).items() if name in names}


def right(pair, tensors) -> list[bool]:
    """Which held-out samples these values name correctly; an oracle without the gatekeeper."""
    slots = pair.arena.slots_in(HELD_OUT)
    raw = torch.stack([torch.frombuffer(bytearray(pair.front.sample(slot)), dtype=torch.float32) for slot in slots])
    label = torch.tensor([pair.front.label[slot] for slot in slots])
    return (probabilities(tensors, raw).argmax(1) == label).tolist()


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one | other)


# ---- other parameters


def test_the_round_after_a_rollback_is_one_step_from_the_old_parameters_without_their_momentum(home):
    teach(home, 3)
    name, old = snapshot(home), model_of(home, home.trainer.state())
    teach(home, 4)
    home.trainer.restore({key: value.clone() for key, value in old.items()})
    batch = batch_of(home, 8)
    home.trainer.on_batch(batch, 0.0)

    twin = build(home.spec, seed=99)
    twin.load_state_dict(old)
    raw = [torch.frombuffer(bytearray(home.front.sample(slot)), dtype=torch.float32) for slot in batch.slots]
    label = torch.tensor([home.front.label[slot] for slot in batch.slots])
    losses = torch.nn.functional.cross_entropy(twin((torch.stack(raw) - MEAN) / STD), label, reduction="none")
    (losses * torch.tensor(batch.sample_weights)).mean().backward()
    published = home.copy_of(8)
    for key, parameter in twin.named_parameters():
        torch.testing.assert_close(published[key], parameter.detach() - 0.05 * parameter.grad, msg=key)
        torch.testing.assert_close(published[f"momentum/{key}"], parameter.grad, msg=key)
    assert name == "r00000003"


def test_nothing_on_the_board_changes_before_the_next_round(home):
    teach(home, 3)
    old = model_of(home, home.trainer.state())
    teach(home, 2)
    before = bytes(home.board.slot(4)), bytes(home.board.slot(5))
    home.trainer.restore(old)
    assert (bytes(home.board.slot(4)), bytes(home.board.slot(5))) == before
    assert home.trainer.version == 5
    assert equal(model_of(home, home.trainer.state()), old)
    held = {name: bytes(tensor.data) for name, tensor in home.trainer.model_tensors().items()}
    assert held == {name: value.numpy().tobytes() for name, value in old.items()}
    home.trainer.on_batch(Batch(6, (), (), 4), 0.0)
    assert equal(model_of(home, home.board.slot(6)), old)


def test_a_round_without_samples_changes_nothing_and_counts_as_left_out(home):
    teach(home, 2)
    before = bytes(home.trainer.state())
    step = home.trainer.on_batch(Batch(3, (), (), 1), 0.0)
    assert (step.finite, home.trainer.version, home.trainer.refused_updates) == (False, 3, 1)
    assert bytes(home.trainer.state()) == before


def test_an_update_to_parameters_beyond_measure_is_not_published(home):
    teach(home, 2)
    before = bytes(home.trainer.state())
    home.trainer.rate_factor = 1e30
    step = home.trainer.on_batch(batch_of(home, 3), 0.0)
    assert not step.finite
    assert (home.trainer.version, bytes(home.trainer.state())) == (3, before)


@pytest.mark.parametrize("change", ["shape", "missing", "surplus"])
def test_parameters_of_another_model_are_refused_whole(home, change):
    teach(home, 2)
    before = bytes(home.trainer.state())
    other = model_of(home, home.trainer.state())
    if change == "shape":
        other["head.weight"] = torch.zeros(2, 2)
    elif change == "missing":
        del other["head.weight"]
    else:
        other["more"] = torch.zeros(1)
    with pytest.raises(ModelError):
        home.trainer.restore(other)
    assert bytes(home.trainer.state()) == before


# ---- comparing


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
    home.selector._held_out_ratio, home.selector.held_out._capacity = 1.0, 100
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


def test_it_is_due_so_many_rounds_after_the_last_and_not_at_all_when_switched_off(home):
    teach(home, 4)
    assert not home.guard.is_due
    teach(home, 1)
    assert home.guard.is_due
    home.guard.look()
    assert not home.guard.is_due
    teach(home, 5)
    assert home.guard.is_due
    home.guard.config = GuardConfig(every_rounds=0)
    assert not home.guard.is_due


# ---- going back


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


def test_updates_that_are_not_finite_roll_back_and_cut_the_rate(home):
    teach(home, 30)
    good = model_of(home, home.trainer.state())
    promoted(home)
    teach(home, 3)
    batch = batch_of(home, 34)
    assert [home.guard.watch(batch, BAD) for _ in range(3)] == [False, False, True]
    assert equal(model_of(home, home.trainer.state()), good)
    assert home.guard.to_plain()["last"]["reason"] == "UPDATES_NOT_FINITE"
    assert home.trainer.rate_factor == 0.5
    guard_of(home, home.guard.to_plain())
    assert home.trainer.rate_factor == 0.5
    assert [home.guard.watch(batch, step) for step in (BAD, BAD, GOOD, BAD, BAD)] == [False] * 5


def test_who_sets_another_learning_rate_gets_it_uncut(home):
    memory = {"rate_factor": 0.25, "learning_rate": home.config.training.learning_rate}
    guard_of(home, memory)
    assert home.trainer.rate_factor == 0.25
    home.trainer.rate_factor = 1.0
    guard_of(home, memory | {"learning_rate": 7.0})
    assert home.trainer.rate_factor == 1.0


def test_a_loss_above_twice_a_blind_guess_is_waited_out_for_a_while(home):
    promoted(home)
    batch, high = batch_of(home, 1), dataclasses.replace(GOOD, plain_loss=2.1 * math.log(3))
    assert not any(home.guard.watch(batch, high) for _ in range(49))
    assert not home.guard.watch(batch, dataclasses.replace(GOOD, plain_loss=1.9 * math.log(3)))
    assert [home.guard.watch(batch, high) for _ in range(50)] == [False] * 49 + [True]
    assert home.guard.to_plain()["last"]["reason"] == "LOSS_DIVERGED"


def test_samples_that_cannot_be_scored_are_not_held_against_good_parameters(home):
    teach(home, 5)
    promoted(home)
    empty = Batch(6, (), (), 4)
    assert not any(home.guard.watch(empty, BAD) for _ in range(10))
    for view in model_of_views(home):
        view.fill_(1e30)
    assert [home.guard.watch(empty, BAD) for _ in range(3)][-1]


def model_of_views(pair):
    views = pair.layout.views(pair.board.slot(pair.trainer.version))
    return [view for name, view in views.items() if name.endswith("weight")]


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


def test_it_only_tells_when_it_may_not_roll_back(home):
    home.guard.config = GuardConfig(rollback_limit=0)
    teach(home, 30)
    promoted(home)
    spoil(home)
    before = bytes(home.trainer.state())
    assert not home.guard.fail(home.guard.look())
    assert not any(home.guard.watch(batch_of(home, 31), BAD) for _ in range(5))
    assert bytes(home.trainer.state()) == before
    assert [item["code"] for item in home.guard.health()] == ["GATE_FAILED"]


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


# ---- the golden set


def golden(pair, path, **changes) -> None:
    generator = np.random.default_rng(3)
    label = generator.integers(3, size=80)
    x = (generator.normal(size=(80, 6)) + 3 * np.eye(3, 6)[label]).astype(np.float32)
    np.savez(path, **{"x": x, "label": label, **changes})


def test_a_golden_set_is_judged_by_the_same_test(home, tmp_path):
    path = tmp_path / "golden.npz"
    golden(home, path)
    home.config = dataclasses.replace(home.config, guard=GuardConfig(golden_set=str(path)))
    home.guard = guard_of(home)
    teach(home, 30)
    best = model_of(home, home.trainer.state())
    promoted(home)
    teach(home, 10)
    gate = home.guard.look()
    with np.load(path) as held:
        x, label = torch.from_numpy(held["x"]), torch.from_numpy(held["label"])
    answers = probabilities(model_of(home, home.trainer.state()), x).argmax(1) == label
    theirs = probabilities(best, x).argmax(1) == label
    assert gate.golden.result.accuracy == float(answers.double().mean())
    assert gate.golden.pairs.difference == pytest.approx(float(answers.double().mean() - theirs.double().mean()))


def test_a_fall_on_the_golden_set_alone_fails(home, tmp_path):
    """The held-out samples have taken on the labels of the garbage; the golden set has not."""
    path = tmp_path / "golden.npz"
    golden(home, path)
    home.config = dataclasses.replace(home.config, guard=GuardConfig(golden_set=str(path)))
    home.guard = guard_of(home)
    teach(home, 30)
    promoted(home)
    spoil(home)
    for slot in home.arena.slots_in(HELD_OUT):
        home.arena.label[slot] = (home.arena.label[slot] + 1) % 3
    gate = home.guard.look()
    assert gate.held_out.pairs.difference > 0.5
    assert gate.verdict is Verdict.FAILED
    assert "golden" in gate.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": np.zeros((80, 5), np.float32)}, "x is float32"),
        ({"x": np.zeros((80, 6), np.float64)}, "x is float64"),
        ({"x": np.zeros((0, 6), np.float32), "label": np.zeros(0, int)}, "empty"),
        ({"label": np.zeros(79, int)}, "80 class ids"),
        ({"label": np.zeros(80)}, "80 class ids"),
        ({"label": np.full(80, 3)}, "labels go from 3 to 3"),
        ({"label": np.full(80, -1)}, "labels go from -1"),
        ({"x": np.array([object()])}, "no .npz file"),
    ],
)
def test_a_golden_set_that_does_not_fit_is_refused_with_what_is_wrong(home, tmp_path, changes, words):
    golden(home, tmp_path / "golden.npz", **changes)
    with pytest.raises(ConfigError, match=words) as caught:
        load_golden(tmp_path / "golden.npz", home.spec)
    assert caught.value.reason == "GOLDEN_SET_INVALID"


@pytest.mark.parametrize(
    ("contents", "words"), [(None, "cannot be read"), (b"", "no .npz file"), (b"PK\x03\x04", "no .npz file")]
)
def test_a_golden_set_that_is_no_file_of_its_kind_is_refused(home, tmp_path, contents, words):
    if contents is not None:
        (tmp_path / "golden.npz").write_bytes(contents)
    with pytest.raises(ConfigError, match=words):
        load_golden(tmp_path / "golden.npz", home.spec)
    os.makedirs(tmp_path / "folder.npz")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_golden(tmp_path / "folder.npz", home.spec)


def test_arrays_under_other_names_are_refused_by_name(home, tmp_path):
    np.savez(tmp_path / "golden.npz", images=np.zeros(3))
    with pytest.raises(ConfigError, match="holds images"):
        load_golden(tmp_path / "golden.npz", home.spec)
