"""The trainer alone: each version is one step from the one before, whatever the batch; and resuming is exact."""

from __future__ import annotations

import copy
import math
import statistics

import pytest
import torch

from tests.workers.pair import Plan
from titand.learning.state import StateLayout
from titand.records import Batch
from titand.runtime.arena import SELECTED, TRAINED
from titand.runtime.parameters import ParameterBoard, create_parameters
from titand.workers.assembly import Surroundings, build_learner, build_trainer


@pytest.fixture
def pair(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    pair.feed(64)
    return pair


def batch_of(pair, round: int, size: int = 4) -> Batch:
    """A batch that nobody selected: other slots and weights each round, so that versions differ."""
    generator = torch.Generator().manual_seed(round)
    slots = torch.randperm(64, generator=generator)[:size].tolist()
    weights = (0.5 + torch.rand(size, generator=generator)).tolist()
    for slot in slots:
        pair.arena.round[slot], pair.arena.state[slot] = round, SELECTED
    return Batch(round, tuple(slots), tuple(weights), max(0, round - 2), {"variance_ratio": float(round)})


def inputs(pair, batch: Batch):
    """What the batch holds, normalised by hand."""
    raw = [torch.frombuffer(bytearray(pair.front.sample(slot)), dtype=torch.float32) for slot in batch.slots]
    return (torch.stack(raw) - 0.5) / 2.0, torch.tensor([pair.front.label[slot] for slot in batch.slots])


def test_each_version_is_one_step_from_the_one_before(pair):
    """The oracle is the textbook's SGD over a copy of the model, with gradients by autograd."""
    model = copy.deepcopy(pair.trainer._learner.model)
    velocity = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for round in range(1, 12):
        batch = batch_of(pair, round)
        pair.trainer.on_batch(batch, 0.0)
        x, label = inputs(pair, batch)
        losses = torch.nn.functional.cross_entropy(model(x), label, reduction="none")
        model.zero_grad()
        (losses * torch.tensor(batch.sample_weights)).mean().backward()
        with torch.no_grad():
            for parameter, v in zip(model.parameters(), velocity, strict=True):
                v.mul_(0.9).add_(parameter.grad)
                parameter.sub_(0.05 * v)
        published = pair.copy_of(round)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(published[name], parameter.detach(), msg=name)
    assert pair.trainer.version == 11


def test_the_version_before_stays_as_it_was_while_the_next_is_trained(pair):
    before = {}
    for round in range(1, 10):
        pair.optimizer.meanwhile = lambda: before.update(pair.copy_of(pair.board.version))
        published = pair.copy_of(round - 1)
        pair.trainer.on_batch(batch_of(pair, round), 0.0)
        for name, tensor in published.items():
            assert torch.equal(before[name], tensor), name


def test_the_samples_of_a_completed_round_are_marked_as_trained(pair):
    batch = batch_of(pair, 1)
    pair.trainer.on_batch(batch, 0.0)
    assert {pair.arena.state[slot] for slot in batch.slots} == {TRAINED}


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_is_left_out_and_the_round_still_completed(pair, weight):
    pair.trainer.on_batch(batch_of(pair, 1), 0.0)
    before = pair.copy_of(1)
    bad = batch_of(pair, 2)
    pair.trainer.on_batch(Batch(2, bad.slots, (weight,) * 4, 0), 0.0)
    assert (pair.trainer.version, pair.trainer.refused_updates) == (2, 1)
    for name, tensor in pair.copy_of(2).items():
        assert torch.equal(tensor, before[name]), name
    pair.trainer.on_batch(batch_of(pair, 3), 0.0)
    assert pair.trainer.refused_updates == 1
    assert not torch.equal(pair.copy_of(3)["head.weight"], before["head.weight"])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("break_after", [1, 7, 13])
def test_a_trainer_resumed_from_its_state_equals_the_uninterrupted_one_bit_for_bit(pairs, momentum, break_after):
    plan = Plan(held_out_ratio=0.0, momentum=momentum)
    whole, first, second = pairs(plan), pairs(plan), pairs(plan)
    for pair in (whole, first, second):
        pair.feed(64)
    whole.start()
    for round in range(1, 21):
        whole.trainer.on_batch(batch_of(whole, round), 0.0)
    first.start()
    for round in range(1, break_after + 1):
        first.trainer.on_batch(batch_of(first, round), 0.0)
    kept = memoryview(bytes(first.trainer.state()))
    second.start(state=kept, version=break_after)
    assert second.trainer.version == break_after
    for round in range(break_after + 1, 21):
        second.trainer.on_batch(batch_of(second, round), 0.0)
    assert bytes(second.trainer.state()) == bytes(whole.trainer.state())


def test_without_the_optimizers_tensors_resuming_would_not_be_exact(pairs):
    """The check of the check: momentum matters in the test above."""
    states = []
    for keep_all in (True, False):
        one, other = pairs(Plan(held_out_ratio=0.0)), pairs(Plan(held_out_ratio=0.0))
        one.feed(64), other.feed(64)
        one.start()
        for round in range(1, 8):
            one.trainer.on_batch(batch_of(one, round), 0.0)
        kept = bytearray(one.trainer.state())
        if not keep_all:
            for name, view in one.layout.views(kept).items():
                if name.startswith("momentum/"):
                    view.zero_()
        other.start(state=memoryview(kept), version=7)
        other.trainer.on_batch(batch_of(other, 8), 0.0)
        states.append(bytes(other.trainer.state()))
    assert states[0] != states[1]


def test_a_new_board_begins_with_the_models_own_values(pair):
    learner, _ = build_learner(pair.config)
    for name, tensor in learner.tensors().items():
        assert torch.equal(pair.copy_of(0)[name], tensor.detach()), name


def test_a_board_that_outlived_its_trainer_is_not_begun_again(pair):
    pair.trainer.on_batch(batch_of(pair, 1), 0.0)
    kept = bytes(pair.trainer.state())
    successor = build_trainer(pair.around())
    successor.begin(memoryview(bytes(len(kept))), 99)
    assert successor.version == 1
    assert bytes(successor.state()) == kept


def test_permits_name_the_next_round_and_the_newest_version(pair):
    assert (pair.trainer.first_permit().round, pair.trainer.first_permit().version) == (1, 0)
    for round in range(1, 6):
        permit = pair.trainer.permit_after(batch_of(pair, round))
        assert (permit.round, permit.version) == (round + 1, round - 1)
        pair.trainer.on_batch(batch_of(pair, round), 0.0)
    assert pair.trainer.first_permit().version == 5


def test_the_models_tensors_of_a_snapshot_are_those_of_the_newest_version_without_the_optimizers(pair):
    for round in (1, 2, 3):
        pair.trainer.on_batch(batch_of(pair, round), 0.0)
        tensors = pair.trainer.model_tensors()
        model, _ = build_learner(pair.config)
        assert set(tensors) == set(model.model.state_dict())
        for name, raw in tensors.items():
            values = torch.frombuffer(bytearray(raw.data), dtype=getattr(torch, raw.data_type)).view(raw.shape)
            assert torch.equal(values, pair.copy_of(round)[name]), name


def test_the_report_is_what_was_done(pair):
    for round in range(1, 6):
        pair.trainer.on_batch(batch_of(pair, round), 0.25)
    report = pair.trainer.report()
    assert report["round"] == report["last_round"]["number"] == 5
    assert report["last_round"]["wait_seconds"] == 0.25
    assert report["variance_ratio"]["mean"] == pytest.approx(statistics.geometric_mean(range(1, 6)))
    assert report["variance_ratio"]["rounds"] == 5
    logs = [math.log(each) for each in range(1, 6)]
    middle, width = statistics.mean(logs), 1.959964 * statistics.stdev(logs) / 5**0.5
    ends = math.exp(middle - width), math.exp(middle + width)
    assert report["variance_ratio"]["margin"] == pytest.approx((ends[1] - ends[0]) / 2)
    assert report["staleness_round_counts"] == [1, 4]
    assert report["parameter_count"] == 6 * 8 + 8 + 8 * 3 + 3
    assert report["model_bytes"] == 4 * report["parameter_count"]
    assert all(report["stages"][stage]["count"] == 5 for stage in ("train", "wait", "publish"))


def test_a_board_of_another_model_is_refused(pair):
    other = Plan(momentum=0.0).config
    around = pair.around()
    with pytest.raises(ValueError, match="slots of"):
        build_trainer(Surroundings(other, *list(vars(around).values())[1:]))


def test_the_flat_state_holds_everything_that_a_step_changes(pair):
    learner, layout = build_learner(pair.config)
    board = ParameterBoard(create_parameters(), layout.size_bytes)
    assert StateLayout.of(learner.tensors()) == layout
    assert board.slot_bytes == layout.size_bytes
    names = {entry.name for entry in layout.entries}
    assert names == {*learner.model.state_dict(), *(f"momentum/{n}" for n, _ in learner.model.named_parameters())}


def test_the_gain_shown_is_the_geometric_mean_of_the_rounds_and_no_single_round_makes_it(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    ratios = []
    for _ in range(12):
        pair.round()
        ratio = pair.batches[-1].facts["variance_ratio"]
        ratios += [ratio] if ratio is not None else []
    gain = pair.trainer.report()["variance_ratio"]
    assert gain["rounds"] == len(ratios)
    assert gain["mean"] == pytest.approx(statistics.geometric_mean(ratios))

    pair.trainer._gains.append(1e9)

    assert pair.trainer.report()["variance_ratio"]["mean"] < 20 * gain["mean"]
