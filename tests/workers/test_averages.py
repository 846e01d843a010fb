"""With averages, what is trained and scored with is the latest version; what is evaluated and served is the average."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from tests.learning.test_averaging import follow
from tests.workers.pair import SHAPE, Plan, probabilities
from titand.learning.state import model_tensors
from titand.runtime.arena import HELD_OUT

AVERAGED = Plan(average=0.9, held_out_ratio=0.3, held_out_samples=30, evaluate_every=1, slot_count=160)


@pytest.fixture
def pair(pairs):
    made = pairs(AVERAGED)
    made.start()
    return made


def served(trainer):
    """What a snapshot would hold, as tensors."""
    return {
        name: torch.frombuffer(bytearray(raw.data), dtype=torch.float32).view(raw.shape)
        for name, raw in trainer.model_tensors().items()
    }


def latest(pair):
    versions = pair.copy_of(pair.trainer.version)
    return {name: versions[name] for name in model_tensors(pair.trainer._learner.model)}


def test_a_snapshot_holds_the_average_of_all_versions_so_far(pair):
    history = [latest(pair)]
    for _ in range(30):
        pair.round()
        history.append(latest(pair))
    found = served(pair.trainer)
    assert list(found) == list(history[0])
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, follow([values[name] for values in history], 0.9))
        assert not torch.allclose(tensor, history[-1][name])


def test_candidates_are_scored_with_the_latest_and_held_out_samples_with_the_average(pair):
    for _ in range(20):
        pair.round()
    pair.feed(40)
    pair.filter()
    version = pair.permit.version
    pair.selector.load(version)
    while pair.selector.evaluate_some(pair.permit.round) and pair.selector.evaluator.held_out.is_sweeping:
        pass
    values = pair.copy_of(version)
    averages = {name: values[f"average/{name}"] for name in latest(pair)}
    slots = pair.arena.slots_in(HELD_OUT)
    x = torch.stack([torch.frombuffer(bytearray(pair.front.sample(slot)), dtype=torch.float32) for slot in slots])
    label = torch.tensor([pair.arena.label[slot] for slot in slots])
    loss = nn.functional.nll_loss(probabilities(averages, x.view(-1, *SHAPE)).log(), label)
    assert pair.selector.evaluator.held_out.latest.version == version
    assert pair.selector.report()["evaluation"]["loss"] == pytest.approx(float(loss), rel=1e-4)

    pair.select()
    candidates, scores = pair.recorder.seen[-1]
    x = torch.stack([torch.frombuffer(bytearray(pair.front.sample(s)), dtype=torch.float32) for s in candidates.key])
    torch.testing.assert_close(scores.probability, probabilities(values, x.view(-1, *SHAPE)))


def test_after_a_rollback_both_the_model_and_its_average_are_what_was_restored(pair):
    pair.round()
    wanted = {name: torch.full_like(tensor, 0.25) for name, tensor in latest(pair).items()}
    pair.trainer.restore(wanted)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in served(pair.trainer).items())
    pair.round()
    for name, tensor in served(pair.trainer).items():
        assert (tensor - 0.25).abs().max() <= (latest(pair)[name] - 0.25).abs().max()


def test_the_guard_is_answered_by_what_would_be_served(pair):
    for _ in range(20):
        pair.round()
    x, label = torch.randn(8, *SHAPE), torch.zeros(8, dtype=torch.int64)
    ((_, newest),) = pair.trainer.answers([(x, label)])
    ((_, average),) = pair.trainer.answers([(x, label)], served(pair.trainer))
    ((_, last),) = pair.trainer.answers([(x, label)], latest(pair))
    assert newest == average != last


def test_a_resumed_run_has_the_same_average_bit_for_bit(pairs, pair):
    for _ in range(5):
        pair.round()
    state = io.BytesIO(bytes(pair.trainer.state()))
    after = pairs(AVERAGED)
    after.start(state=memoryview(state.getvalue()), version=5)
    before, again = served(pair.trainer), served(after.trainer)
    assert all(torch.equal(before[name], again[name]) for name in before)
