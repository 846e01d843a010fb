"""The trainer without its process: batches in, permits and parameter versions out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch

from titand.clock import Clock
from titand.learning.state import Binding, StateLayout, model_tensors
from titand.learning.trainer import Learner, StepReport
from titand.records import Batch, ModelSpec, Permit
from titand.runtime.arena import TRAINED, Arena
from titand.runtime.parameters import ParameterBoard
from titand.storage.tensors import RawTensor
from titand.telemetry.stages import Stages
from titand.workers.samples import SampleReader

_GAIN_ROUNDS = 200  # rounds that the shown gain covers
_Z_95 = 1.959964


class TrainerWorker:
    """Trains one round per batch, beside the last published version, and publishes the next.

    Args:
        arena: holds the samples; this worker owns those in SELECTED.
        board: where versions are published. Must hold one already, see `begin`.
        learner: model and optimizer; their tensors are pointed at the board.
        layout: of the learner's tensors.
        spec: what the samples are.
        clock: times the stages and stamps rounds.
    """

    def __init__(
        self, arena: Arena, board: ParameterBoard, learner: Learner, layout: StateLayout, spec: ModelSpec, clock: Clock
    ) -> None:
        self._arena = arena
        self._board = board
        self._learner = learner
        self._layout = layout
        self._clock = clock
        self._reader = SampleReader(arena, spec, torch.device("cpu"))
        self._binding = Binding(learner.tensors(), [layout.views(board.slot(slot)) for slot in (0, 1)])
        self.stages = Stages(clock)
        self.last_round: dict[str, Any] = {}
        self.staleness_round_counts = [0, 0]
        self.refused_updates = 0
        self._gains: deque[float] = deque(maxlen=_GAIN_ROUNDS)

    @property
    def version(self) -> int:
        """Rounds completed since the model was new."""
        return self._board.version

    def begin(self, state: memoryview | None, version: int) -> None:
        """Publish the first version of this start: a checkpoint's state, or the learner's own values.

        Does nothing when the board outlived an earlier trainer: its version is the newest there is.
        """
        if self._board.version >= 0:
            return
        if state is not None:
            self._board.slot(version)[:] = state
        else:
            for name, view in self._layout.views(self._board.slot(version)).items():
                view.copy_(self._learner.tensors()[name].detach())
        self._board.publish(version)

    def first_permit(self) -> Permit:
        """Return the permit that starts the pipeline."""
        return Permit(self.version + 1, self.version)

    def permit_after(self, batch: Batch) -> Permit:
        """Return the permit to send on taking a batch, before training on it: for the next, with the newest version."""
        return Permit(batch.round + 1, self.version)

    def on_batch(self, batch: Batch, wait_seconds: float) -> None:
        """Train one round. Order matters, see `runtime/parameters.py`: receive, permit, train, publish."""
        round, slots = batch.round, list(batch.slots)
        start = self._clock.monotonic_ns()
        self._board.slot(round)[:] = self._board.slot(round - 1)
        self._binding.point(round % 2)
        copied = self._clock.monotonic_ns()
        weight = torch.tensor(batch.sample_weights, dtype=torch.float32)
        step = self._learner.step(self._reader.inputs(slots), self._reader.labels(slots), weight, round)
        self._board.publish(round)
        self._arena.mark(slots, TRAINED)
        end = self._clock.monotonic_ns()
        self.stages.record("publish", copied - start)
        self.stages.record("train", end - copied)
        self.stages.record("wait", int(wait_seconds * 1e9))
        self._account(batch, step, (end - start) / 1e9, wait_seconds)

    def _account(self, batch: Batch, step: StepReport, train_seconds: float, wait_seconds: float) -> None:
        staleness = batch.round - 1 - batch.version
        while len(self.staleness_round_counts) <= staleness:
            self.staleness_round_counts.append(0)
        self.staleness_round_counts[staleness] += 1
        self.refused_updates += not step.finite
        ratio = batch.facts.get("variance_ratio")
        if ratio is not None and ratio > 0:
            self._gains.append(ratio)
        self.last_round = {
            "number": batch.round,
            "batch_size": len(batch.slots),
            "loss": step.loss,
            "learning_rate": step.rate,
            "staleness": staleness,
            "train_seconds": train_seconds,
            "wait_seconds": wait_seconds,
            "complete_time_ns": self._clock.wall_ns(),
            **batch.facts,
        }

    def model_tensors(self) -> dict[str, RawTensor]:
        """Return the model's tensors of the newest version, as they lie on the board."""
        slot = self._board.slot(self.version)
        wanted = model_tensors(self._learner.model)
        return {
            entry.name: RawTensor(
                str(entry.dtype).removeprefix("torch."),
                entry.shape,
                slot[entry.offset : entry.offset + entry.size_bytes],
            )
            for entry in self._layout.entries
            if entry.name in wanted
        }

    def state(self) -> memoryview:
        """Return the flat state of the newest version: all that resuming needs of the model."""
        return self._board.slot(self.version)

    def report(self) -> dict[str, Any]:
        """Return what the board says about this worker."""
        model = model_tensors(self._learner.model)
        parameters = list(self._learner.model.parameters())
        return {
            "round": self.version,
            "last_round": self.last_round,
            "staleness_round_counts": self.staleness_round_counts,
            "variance_ratio": self._gain(),
            "parameter_count": sum(parameter.numel() for parameter in parameters),
            "model_bytes": sum(tensor.nbytes for tensor in model.values()),
            "device": "cpu",
            "refused_updates": self.refused_updates,
            "stages": self.stages.to_plain(),
        }

    def _gain(self) -> Mapping[str, float] | None:
        """Geometric mean of the variance ratio over recent rounds, with half the width of its 95 % interval.

        A ratio's logarithm has no heavy tail: one round in which selection is all but exact does not make the figure.
        """
        count = len(self._gains)
        if count == 0:
            return None
        logs = [math.log(gain) for gain in self._gains]
        mean = sum(logs) / count
        spread = sum((each - mean) ** 2 for each in logs) / max(1, count - 1)
        margin = _Z_95 * math.sqrt(spread / count)
        return {"mean": math.exp(mean), "margin": math.exp(mean) * math.sinh(margin), "rounds": count}
