"""The guard over the model: watches the rounds, compares with the best snapshot, and goes back when it got worse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from titand.learning.divergence import Divergence, Stray
from titand.learning.gate import Verdict
from titand.learning.trainer import StepReport
from titand.records import Batch
from titand.runtime.log import Log
from titand.storage.snapshots import SnapshotStore
from titand.workers.assembly import Surroundings
from titand.workers.gatekeeper import Gate, Gatekeeper
from titand.workers.golden import load_golden
from titand.workers.rollbacks import REQUESTED, Rollbacks
from titand.workers.samples import SampleReader
from titand.workers.trainer import TrainerWorker

_STRAY = {
    Stray.UPDATES_NOT_FINITE: "Updates were not finite, several rounds in a row.",
    Stray.LOSS_DIVERGED: "The loss stayed above twice that of a blind guess.",
}


class Guard:
    """What the trainer asks after each round and before each snapshot.

    Args:
        around: the trainer's.
        worker: whose parameters are guarded.
        store: where snapshots are.
        memory: what `to_plain` gave in an earlier life; empty for a new model.
        log: is told of rollbacks.

    Raises:
        ConfigError: GOLDEN_SET_INVALID.
    """

    def __init__(
        self, around: Surroundings, worker: TrainerWorker, store: SnapshotStore, memory: Mapping[str, Any], log: Log
    ) -> None:
        self.config = around.config.guard
        self._worker = worker
        self._store = store
        self._log = log
        spec = around.config.model_spec
        golden = load_golden(Path(self.config.golden_set), spec) if self.config.golden_set else None
        reader = SampleReader(around.arena, spec, torch.device("cpu"))
        self._gatekeeper = Gatekeeper(around.arena, worker, store, reader, golden, around.clock)
        self._rollbacks = Rollbacks(around, worker, store, memory)
        self._watch = Divergence(spec.class_count)
        self._looks = int(memory.get("looks", 0))
        self._last_gate: Mapping[str, Any] | None = memory.get("last_gate")
        self._looked_round = int(memory.get("looked_round", worker.version))

    @property
    def is_due(self) -> bool:
        """Whether it is time to compare: so many rounds after the last comparison, or rollback."""
        every = self.config.every_rounds
        return every > 0 and self._worker.version - self._looked_round >= every

    @property
    def is_pausing(self) -> bool:
        """Whether rolling back has not helped, and somebody has to look."""
        return self._rollbacks.pause is not None

    def watch(self, batch: Batch, step: StepReport) -> bool:
        """Take a round; return whether the parameters were rolled back because of it."""
        if not batch.slots and self._gatekeeper.answers_finitely():
            return False  # the samples are to blame, not the parameters
        stray = self._watch.observe(step.plain_loss, step.finite)
        if stray is None:
            return False
        self._watch.begin_anew()
        return self._go_back(stray.value, _STRAY[stray], self.config.rollback_rate_factor)

    def look(self) -> Gate:
        """Compare the newest version with the best snapshot."""
        with self._worker.stages.timed("gate"):
            gate = self._gatekeeper.judge(self.config.margin, self.config.false_alarm_rate)
        self._looks += 1
        self._looked_round = self._worker.version
        self._last_gate = gate.to_plain()
        if gate.verdict in (Verdict.PROMOTED, Verdict.KEPT):
            self._rollbacks.passed()
        return gate

    def promote(self, name: str) -> None:
        """Call the snapshot of what was compared last the best.

        Raises:
            TitanError: the disk refuses.
        """
        self._gatekeeper.promote(name)
        self._looks = 0

    def fail(self, gate: Gate) -> bool:
        """Roll back after a comparison that failed; return whether that was done."""
        return self._go_back("GATE_FAILED", gate.message, 1.0)

    def roll_back(self, name: str, note: str) -> Mapping[str, Any]:
        """Go back to a snapshot on request; return what was done. See `Rollbacks.to_snapshot`."""
        done = self._rollbacks.to_snapshot(name, note)
        self._begin_anew(done)
        return done

    def resume(self) -> None:
        """Try again after a pause."""
        self._rollbacks.resume()

    def _go_back(self, reason: str, message: str, rate_factor: float) -> bool:
        limit = self.config.rollback_limit
        if limit == 0:
            self._log.warning("would roll back", reason=reason, message=message)
            return False
        self._begin_anew(self._rollbacks.to_good(reason, message, limit, rate_factor))
        return True

    def _begin_anew(self, done: Mapping[str, Any]) -> None:
        self._watch.begin_anew()
        self._looked_round = self._worker.version
        self._log.warning("rolled back", **{key: done[key] for key in ("source", "reason", "message", "round")})

    def to_plain(self) -> dict[str, Any]:
        """Return what a successor and the status have to know."""
        return {
            **self._rollbacks.to_plain(),
            "best": self._store.best,
            "looks": self._looks,
            "looked_round": self._looked_round,
            "last_gate": self._last_gate,
        }

    def health(self) -> list[dict[str, Any]]:
        """Return what needs attention."""
        last, pause = self._rollbacks.last, self._rollbacks.pause
        if pause is not None:
            return [_item("MODEL_ROLLED_BACK", "error", pause["message"], pause["since_ns"])]
        if last is not None and last["reason"] != REQUESTED and self._rollbacks.in_a_row:
            text = f"Rolled back to {last['source']} before round {last['round']:,}: {last['message']}"
            return [_item("MODEL_ROLLED_BACK", "warning", text, last["time_ns"])]
        gate = self._last_gate
        if gate is not None and gate["verdict"] == Verdict.FAILED.value and self.config.rollback_limit == 0:
            return [_item("GATE_FAILED", "warning", gate["message"], gate["judge_time_ns"])]
        return []


def _item(code: str, severity: str, message: str, since_ns: int) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "since_ns": since_ns}
