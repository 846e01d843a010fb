"""A trainer under guard: what makes it learn and forget, and what its parameters and answers are."""

from __future__ import annotations

import math

import torch

from tests.workers.pair import probabilities
from titand.learning.gate import Verdict
from titand.learning.state import model_tensors
from titand.learning.trainer import StepReport
from titand.records import Batch
from titand.runtime.arena import HELD_OUT, SELECTED
from titand.runtime.log import Log
from titand.storage.tensors import encode_tensors
from titand.workers.guard import Guard

GOOD = StepReport(1.0, 1.0, 1.0, 0.1, finite=True)
BAD = StepReport(math.nan, math.nan, math.nan, 0.1, finite=False)


def guard_of(pair, memory=None) -> Guard:
    """Put the trainer under a guard, the first one or a successor."""
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
    """Keep the present parameters, and what a comparison said of them."""
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
    """Return a copy of the model's tensors in a flat state."""
    names = model_tensors(pair.trainer._learner.model)
    return {name: view.clone() for name, view in pair.layout.views(state).items() if name in names}


def right(pair, tensors) -> list[bool]:
    """Which held-out samples these values name correctly; an oracle without the gatekeeper."""
    slots = pair.arena.slots_in(HELD_OUT)
    raw = torch.stack([torch.frombuffer(bytearray(pair.front.sample(slot)), dtype=torch.float32) for slot in slots])
    label = torch.tensor([pair.front.label[slot] for slot in slots])
    return (probabilities(tensors, raw).argmax(1) == label).tolist()


def equal(one, other) -> bool:
    """Whether both hold the same tensors, bit for bit."""
    return all(torch.equal(one[name], other[name]) for name in one | other)
