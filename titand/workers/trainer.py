"""The trainer without its process: batches in, permits and parameter versions out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from titand.clock import Clock
from titand.learning.averaging import served_names
from titand.learning.evaluation import predict
from titand.learning.state import Binding, StateLayout, bind, copy, model_tensors, require_same
from titand.learning.trainer import Learner, StepReport
from titand.records import Batch, ModelSpec, Permit
from titand.runtime.arena import TRAINED, Arena
from titand.runtime.parameters import ParameterBoard
from titand.storage.tensors import RawTensor
from titand.telemetry.stages import Stages
from titand.workers.replay import Replay
from titand.workers.samples import SampleReader

_GAIN_ROUNDS = 200  # rounds that the shown gain covers
_Z_95 = 1.959964
_NO_STEP = StepReport(math.nan, math.nan, math.nan, 0.0, finite=False)

Answers = list[tuple[list[int], float]]  # for each batch: the likeliest classes, and the sum of the losses


class TrainerWorker:
    """Trains one round per batch, beside the last published version, and publishes the next.

    Args:
        arena: holds the samples; this worker owns those in SELECTED.
        board: where versions are published. Must hold one already, see `begin`.
        learner: model and optimizer; their tensors are pointed at the board.
        layout: of the learner's tensors.
        spec: what the samples are.
        clock: times the stages and stamps rounds.
        replay: earlier samples to be trained on again; None without.
    """

    def __init__(
        self,
        arena: Arena,
        board: ParameterBoard,
        learner: Learner,
        layout: StateLayout,
        spec: ModelSpec,
        clock: Clock,
        replay: Replay | None = None,
    ) -> None:
        self._arena = arena
        self._board = board
        self._learner = learner
        self._layout = layout
        self._clock = clock
        self._reader = SampleReader(arena, spec, torch.device("cpu"))
        self._binding = Binding(learner.tensors(), [layout.views(board.slot(slot)) for slot in (0, 1)])
        self._served = served_names(learner.model, learner.tensors())
        self.stages = Stages(clock)
        self.last_round: dict[str, Any] = {}
        self.staleness_round_counts = [0, 0]
        self.refused_updates = 0
        self._is_behind = False  # the next batch is to be scored with the version before
        self._base: bytearray | None = None
        self._replay = replay
        self._replayed = 0
        self._gains: deque[float] = deque(maxlen=_GAIN_ROUNDS)

    @property
    def version(self) -> int:
        """Rounds completed since the model was new."""
        return self._board.version

    def begin(self, state: memoryview | None, version: int, previous: memoryview | None = None) -> None:
        """Publish the first version of this start: a checkpoint's state, or the learner's own values.

        Does nothing when the board outlived an earlier trainer: its version is the newest there is.

        Args:
            state: of the version; None for the learner's own values.
            version: its number.
            previous: state of the version before, where the next batch is still to be scored with that one.
        """
        if self._board.version >= 0:
            return
        if state is not None:
            self._board.slot(version)[:] = state
        else:
            for name, view in self._layout.views(self._board.slot(version)).items():
                view.copy_(self._learner.tensors()[name].detach())
        if previous is not None:
            self._board.slot(version - 1)[:] = previous
            self._is_behind = True
        self._board.publish(version)

    def first_permit(self) -> Permit:
        """Return the permit that starts the pipeline, or goes on with the one that was left unanswered."""
        return Permit(self.version + 1, self.version - self._is_behind)

    def permit_after(self, batch: Batch) -> Permit:
        """Return the permit to send on taking a batch, before training on it: for the next, with the newest version."""
        return Permit(batch.round + 1, self.version)

    def on_batch(self, batch: Batch, wait_seconds: float) -> StepReport:
        """Train one round. Order matters, see `runtime/parameters.py`: receive, permit, train, publish.

        A batch without samples, for none of the window could be scored, is a round whose update was left out.
        """
        round, slots = batch.round, list(batch.slots)
        start = self._clock.monotonic_ns()
        self._board.slot(round)[:] = self.state()
        self._binding.point(round % 2)
        copied = self._clock.monotonic_ns()
        step = self._step(batch) if slots else _NO_STEP
        if not step.finite:
            self._board.slot(round)[:] = self.state()
        elif self._replay is not None:
            self._replay.keep(self._reader.raw(slots), self._reader.labels(slots), round)
        self._board.publish(round)
        self._base, self._is_behind = None, False
        self._arena.mark(slots, TRAINED)
        end = self._clock.monotonic_ns()
        self.stages.record("publish", copied - start)
        self.stages.record("train", end - copied)
        self.stages.record("wait", int(wait_seconds * 1e9))
        self._account(batch, step, (end - start) / 1e9, wait_seconds)
        return step

    def _step(self, batch: Batch) -> StepReport:
        slots = list(batch.slots)
        raw, label = self._reader.raw(slots), self._reader.labels(slots)
        weight = torch.tensor(batch.sample_weights, dtype=torch.float32)
        again = self._replay.draw(batch.round) if self._replay is not None else None
        self._replayed = 0 if again is None else len(again[1])
        if again is None:
            return self._learner.step(self._reader.normalised(raw), label, weight, batch.round)
        x = self._reader.normalised(torch.cat([raw, again[0]]))
        weight = torch.cat([weight, torch.ones(self._replayed)])
        return self._learner.step(x, torch.cat([label, again[1]]), weight, batch.round)

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
            "replayed": self._replayed,
            "loss": step.loss,
            "learning_rate": step.rate,
            "staleness": staleness,
            "train_seconds": train_seconds,
            "wait_seconds": wait_seconds,
            "complete_time_ns": self._clock.wall_ns(),
            **batch.facts,
        }

    # ---- other parameters

    def restore(self, model: Mapping[str, Tensor]) -> None:
        """Let the next round begin from these values of the model, with an optimizer as new.

        Nothing is written to the board before that round: the selector may be reading either version. From now on
        `state` and `model_tensors` are the restored ones.

        Raises:
            ModelError: they are of another model; nothing has changed.
        """
        base = bytearray(self._layout.size_bytes)  # an optimizer's tensors are all zero when it is new
        target = self._layout.views(base)
        require_same(model_tensors(self._learner.model), model)
        copy(model, target)
        copy({source: model[name] for name, source in self._served.items()}, target)
        self._base = base

    def answers(self, batches: Iterable[tuple[Tensor, Tensor]], model: Mapping[str, Tensor] | None = None) -> Answers:
        """Let the newest version, averaged if that is configured, or these values of the model, name samples.

        Args:
            batches: of normalised input [N, *shape] and labels [N] int64.
            model: values by name.
        """
        if model is None:
            newest = self._layout.views(self.state())
            model = {name: newest[source] for name, source in self._served.items()}
        bind(model_tensors(self._learner.model), model)
        try:
            return [predict(self._learner.model, x, label) for x, label in batches]
        finally:
            self._binding.point(self.version % 2)

    @property
    def rate_factor(self) -> float:
        """What the schedule's learning rate is multiplied by."""
        return self._learner.rate_factor

    @rate_factor.setter
    def rate_factor(self, factor: float) -> None:
        self._learner.rate_factor = factor

    def model_tensors(self) -> dict[str, RawTensor]:
        """Return what a snapshot holds: the newest version's tensors, averaged if that is configured."""
        state, entries = self.state(), {entry.name: entry for entry in self._layout.entries}
        return {
            name: RawTensor(
                str(entry.dtype).removeprefix("torch."),
                entry.shape,
                state[entry.offset : entry.offset + entry.size_bytes],
            )
            for name, entry in ((name, entries[source]) for name, source in self._served.items())
        }

    def previous_state(self, permit: Permit) -> memoryview | None:
        """Return the state of the version before, if an unanswered permit names it and it is the one to go on from."""
        is_needed = permit.version == self.version - 1 and self._base is None
        return self._board.slot(permit.version) if is_needed else None

    def state(self) -> memoryview:
        """Return the flat state that the next round begins from: all that resuming needs of the model."""
        return self._board.slot(self.version) if self._base is None else memoryview(self._base)

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
