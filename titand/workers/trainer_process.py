"""The process around the trainer: waits for batches, answers the front, writes checkpoints and snapshots."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from titand.clock import Clock
from titand.config import with_changes
from titand.errors import InvalidRequest, StorageError, TitanError
from titand.learning.gate import Verdict
from titand.records import Batch, from_plain, to_plain
from titand.runtime.channels import Channel, ChannelClosed, is_overdue, plain_error
from titand.runtime.descriptors import Descriptors
from titand.runtime.ledger import Ledger
from titand.runtime.log import Log
from titand.storage.manifests import Snapshot
from titand.storage.snapshots import SnapshotStore
from titand.storage.tensors import encode_tensors
from titand.workers.assembly import Surroundings, build_trainer
from titand.workers.checkpoints import (
    SAVED,
    CheckpointFacts,
    CheckpointWriter,
    model_fingerprint,
    sample_fingerprint,
)
from titand.workers.gatekeeper import Gate
from titand.workers.guard import Guard
from titand.workers.resuming import batch_to_plain, begin
from titand.workers.signals import Stop
from titand.workers.trainer import TrainerWorker

_REPORT_SECONDS = 0.1
_BEAT_SECONDS = 0.5
_WAITING_SECONDS = 1.0  # a longer wait for a batch is shown as a state of its own


def run_trainer(descriptors: Descriptors, selector: Channel, clock: Clock) -> int:
    """Run until asked to end or until the selector is gone; return the exit status."""
    around = Surroundings.open(descriptors, clock)
    log = Log("trainer", around.config.service.log_level)
    stop = Stop()
    last = around.boards.read("trainer")  # what a predecessor said stays in sight
    known = last.content if last is not None else {}
    around.boards.write("trainer", {**known, "state": "starting", "state_since_ns": clock.wall_ns()})
    try:
        worker = build_trainer(around)
        resumed = begin(around, worker, log)
        store = SnapshotStore(around.config.snapshot_folder)
        guard = Guard(around, worker, store, known.get("guard") or resumed.guard, log)
    except TitanError as error:
        failure = {"state": "failed", "state_reason": error.reason, "state_message": str(error)}
        around.boards.write("trainer", {**known, **failure, "state_since_ns": clock.wall_ns()})
        log.error("cannot start", reason=error.reason, message=str(error))
        return os.EX_IOERR if isinstance(error, StorageError) else os.EX_CONFIG  # a disk may recover
    log.info("ready", version=worker.version, model=around.config.model.architecture)
    return _TrainerLoop(around, worker, guard, store, resumed.batch, selector, stop, log).run()


class _TrainerLoop:
    """Takes whatever comes next: a batch, a question of the front, or time for a checkpoint."""

    def __init__(
        self,
        around: Surroundings,
        worker: TrainerWorker,
        guard: Guard,
        store: SnapshotStore,
        in_hand: Batch | None,
        selector: Channel,
        stop: Stop,
        log: Log,
    ) -> None:
        self._around = around
        self._worker = worker
        self._guard = guard
        self._in_hand = in_hand  # a batch that was taken, and is not trained on yet
        self._permit = worker.first_permit()
        self._selector = selector
        self._front = Channel.of_descriptor(around.descriptors.trainer)
        self._stop = stop
        self._log = log
        self._clock = around.clock
        self._config = around.config
        storage = around.config.storage
        folder = around.config.checkpoint_folder
        self._checkpoints = CheckpointWriter(
            folder,
            around.arena,
            storage.daily_bytes,
            storage.checkpoint_seconds,
            around.clock,
            with_samples=around.config.ingest.durable,
        )
        self._snapshots = store
        self._saved_version = worker.version
        self._last_snapshot = self._newest_snapshot()
        self._state, self._state_since_ns = "", 0
        self._idle_since_ns = around.clock.monotonic_ns()
        self._settings_ns = 0
        self._asked_ns = 0
        self._reported_ns = 0
        self._snapshot_trouble: TitanError | None = None
        self._snapshot_trouble_ns = 0

    def run(self) -> int:
        try:
            self._serve()
        except ChannelClosed:
            # The selector is gone. In an orderly stop we are told to end as well, and save; else we are killed, and
            # both start again.
            self._stop.wait([], None)
        # The selector has ended before us, and the front before it: nothing moves in the arena now, and a transaction
        # in which the front was killed is ours to finish.
        Ledger(self._around.arena, self._around.descriptors.filled, self._clock)
        with suppress(ChannelClosed):  # which only says that nothing was left
            self._in_hand = self._in_hand or self._receive()
        if self._write_checkpoint(clean=True):
            self._around.boards.write("trainer", {"state": SAVED})
        return 0

    def _serve(self) -> None:
        if self._in_hand is not None:
            self._permit = self._worker.permit_after(self._in_hand)
        self._selector.send(to_plain(self._permit))
        batches, front = self._selector.fileno(), self._front.fileno()
        while not self._stop.is_set:
            sources = [front] if self._is_paused() else [front, batches]
            readable = self._stop.wait(sources, _BEAT_SECONDS)
            if front in readable:
                self._answer()
            if self._in_hand is not None and not self._is_paused():
                self._train(self._in_hand)
            elif batches in readable and (batch := self._receive()) is not None:
                self._in_hand, self._permit = batch, self._worker.permit_after(batch)
                self._selector.send(to_plain(self._permit))
                self._train(batch)
            self._keep()
            self._report(force=not readable)

    def _is_paused(self) -> bool:
        return self._is_wished_paused() or self._guard.is_pausing

    def _is_wished_paused(self) -> bool:
        wishes = self._around.boards.read("wishes")
        return wishes is not None and bool(wishes.content.get("paused"))

    # ---- rounds

    def _receive(self) -> Batch | None:
        message = self._selector.receive(0)
        return None if message is None else from_plain(Batch, message)

    def _train(self, batch: Batch) -> None:
        now = self._clock.monotonic_ns()
        sent = batch.facts.get("sent_ns", now)
        # Handed over while we waited: otherwise it lay ready, and what passed is our own round.
        if sent > self._idle_since_ns:
            self._worker.stages.record("handover", now - sent)
        self._set_state("active")
        step = self._worker.on_batch(batch, (now - self._idle_since_ns) / 1e9)
        self._in_hand = None
        self._idle_since_ns = self._clock.monotonic_ns()
        every = self._config.storage.snapshot_rounds
        if self._guard.watch(batch, step):
            self._settle_rollback()
        elif every and self._worker.version % every == 0:
            self._look(is_snapshot_due=True)
        elif self._guard.is_due:
            self._look(is_snapshot_due=False)

    def _look(self, is_snapshot_due: bool) -> None:
        """Compare with the best snapshot, and take what is due, or the first, or clearly better."""
        gate = self._guard.look()
        if gate.verdict is Verdict.FAILED and self._guard.fail(gate):
            self._settle_rollback()
        elif is_snapshot_due or (gate.verdict is Verdict.PROMOTED and gate.is_clearly_better):
            self._try_snapshot("" if is_snapshot_due else "the best so far", gate)

    def _settle_rollback(self) -> None:
        """Let it survive us, then the whole service."""
        self._report(force=True)
        self._write_checkpoint(clean=False)

    # ---- the front's questions

    def _answer(self) -> None:
        message = self._front.receive(0)
        if message is None or is_overdue(message, self._clock):
            return
        reply: dict[str, Any] = {"id": message.get("id")}
        try:
            reply["answer"] = self._do(message)
        except TitanError as error:
            reply["error"] = plain_error(error)
        try:
            self._front.send(reply)
        except ChannelClosed:
            pass  # the front has not read for long, and whoever asked has given up

    def _do(self, message: Mapping[str, Any]) -> dict[str, Any]:
        verb = message.get("verb")
        if verb == "wake":
            self._report(force=True)  # whoever asks looks next
            return {}
        if verb == "snapshot":
            return {"name": self._snapshot(str(message.get("note", "")), self._guard.look()).name}
        if verb == "rollback":
            done = self._guard.roll_back(str(message["name"]), str(message.get("note", "")))
            self._settle_rollback()
            return dict(done)
        if verb == "resume":
            self._guard.resume()
            self._report(force=True)
            return {}
        raise InvalidRequest("UNKNOWN_VERB", f"The trainer does not know '{verb}'.")

    # ---- what is kept

    def _try_snapshot(self, note: str, gate: Gate) -> None:
        try:
            self._snapshot(note, gate)
        except TitanError as error:
            if self._snapshot_trouble is None:
                self._snapshot_trouble_ns = self._clock.wall_ns()
            self._snapshot_trouble = error
            self._log.error("snapshot failed", reason=error.reason, message=str(error))

    def _newest_snapshot(self) -> str:
        try:
            page = self._snapshots.page(1)
        except StorageError as error:  # training does without knowing
            self._log.error("snapshots cannot be listed", reason=error.reason, message=str(error))
            return ""
        return page.snapshots[0].name if page.snapshots else ""

    def _snapshot(self, note: str, gate: Gate) -> Snapshot:
        tensors = self._worker.model_tensors()
        size = sum(len(tensor.data) for tensor in tensors.values())
        with self._worker.stages.timed("snapshot"):
            snapshot = self._snapshots.create(
                self._worker.version,
                encode_tensors(tensors),
                model=self._config.model_spec,
                create_time_ns=self._clock.wall_ns(),
                metrics=self._metrics(gate),
                gate=gate.to_plain(),
                parent=self._last_snapshot,
                note=note,
                expected_bytes=size,
            )
        self._checkpoints.count(snapshot.size_bytes)
        if gate.verdict is Verdict.PROMOTED:
            self._guard.promote(snapshot.name)
        self._snapshots.keep_newest(self._config.storage.keep_snapshots)
        self._last_snapshot = snapshot.name
        self._snapshot_trouble = None
        self._log.info("snapshot", name=snapshot.name, round=snapshot.round, bytes=snapshot.size_bytes)
        if gate.verdict is Verdict.FAILED and self._guard.fail(gate):
            self._settle_rollback()
        return snapshot

    def _metrics(self, gate: Gate) -> dict[str, float]:
        report = self._around.boards.read("selector")
        evaluation = report.content.get("evaluation", {}) if report is not None else {}
        held_out = gate.held_out.result
        low, high = held_out.interval
        known = {
            "held_out_accuracy": held_out.accuracy,
            "held_out_accuracy_margin": (high - low) / 2 if held_out.sample_count else None,
            "held_out_samples": held_out.sample_count,
            "held_out_loss": held_out.loss,
            "golden_accuracy": gate.golden.result.accuracy if gate.golden is not None else None,
            "evaluated_version": gate.round,
            "prequential_accuracy": evaluation.get("prequential_accuracy"),
            "last_round_loss": self._worker.last_round.get("loss"),
        }
        return {name: float(value) for name, value in known.items() if value is not None and math.isfinite(value)}

    def _keep(self) -> None:
        is_behind = self._worker.version > self._saved_version
        if (is_behind and self._checkpoints.is_due) or self._is_log_waiting():
            self._write_checkpoint(clean=False)

    def _is_log_waiting(self) -> bool:
        """Whether the log of samples needs a checkpoint, to be durable or to have room, and may have one."""
        now = self._clock.monotonic_ns()
        if not self._config.ingest.durable or now - self._asked_ns < _REPORT_SECONDS * 1e9:
            return False
        self._asked_ns = now
        report = self._around.boards.read("front")
        log = report.content.get("log") if report is not None else None
        if log is None or log["covered_sequence"] < self._checkpoints.newest.get("sequence", 0):
            return False  # it has not heard of the last one yet
        if log["is_checkpoint_urgent"]:
            return self._checkpoints.trouble is None or self._checkpoints.is_due
        return log["is_checkpoint_wanted"] and self._checkpoints.is_worth(log["used_bytes"])

    def _write_checkpoint(self, clean: bool) -> bool:
        config = self._around.config
        facts = CheckpointFacts(
            self._worker.version, model_fingerprint(config), sample_fingerprint(config), self._is_wished_paused(), clean
        )
        facts = dataclasses.replace(facts, guard=self._guard.to_plain())
        previous = None
        if clean and self._in_hand is not None:
            facts = dataclasses.replace(facts, batch=batch_to_plain(self._in_hand, self._around.arena))
        elif clean:
            previous = self._worker.previous_state(self._permit)
        with self._worker.stages.timed("checkpoint"):
            written = self._checkpoints.write(facts, self._worker.state(), self._around.memory.read(), previous)
        if written:
            self._saved_version = self._worker.version
            self._log.info("checkpoint", version=facts.version, clean=clean)
        elif self._checkpoints.trouble is not None:
            trouble = self._checkpoints.trouble
            self._log.error("checkpoint failed", reason=trouble.reason, message=str(trouble))
        return written

    # ---- what is shown

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state, self._state_since_ns = state, self._clock.wall_ns()
            self._reported_ns = 0

    def _report(self, force: bool) -> None:
        now = self._clock.monotonic_ns()
        self._around.boards.beat("trainer")
        if self._is_paused():
            self._set_state("paused")
        elif now - self._idle_since_ns > _WAITING_SECONDS * 1e9:
            self._set_state("waiting")
        if not force and now - self._reported_ns < _REPORT_SECONDS * 1e9:
            return
        self._reported_ns = now
        self._take_settings()
        content = {
            "state": self._state or "waiting",
            "state_since_ns": self._state_since_ns,
            "last_snapshot": self._last_snapshot,
            "written_today_bytes": self._checkpoints.written_today_bytes,
            **({"checkpoint": self._checkpoints.newest} if self._checkpoints.newest else {}),
            "checkpoint_interval_seconds": self._checkpoints.interval_seconds,
            "guard": self._guard.to_plain(),
            "health": self._health(),
            **self._worker.report(),
        }
        self._around.boards.write("trainer", content)

    def _health(self) -> list[dict[str, Any]]:
        items = []
        if (trouble := self._checkpoints.trouble) is not None:
            since_ns, retry_seconds = self._checkpoints.durable_ns, self._checkpoints.retry_seconds
            text = (
                f"Not durable since {clock_time(since_ns)}: {trouble} Training goes on; a crash would go back to then."
                f" Tried again after {retry_seconds:.0f} s."
            )
            items.append(_health_item("NOT_DURABLE", "error", text, since_ns))
        if (trouble := self._snapshot_trouble) is not None:
            text = f"The last snapshot by round failed: {trouble} The next one is tried in its turn."
            items.append(_health_item("SNAPSHOT_FAILED", "warning", text, self._snapshot_trouble_ns))
        if count := self._worker.refused_updates:
            text = f"{count} updates were not finite and left out. Lower training.learning_rate."
            items.append(_health_item("UPDATE_NOT_FINITE", "warning", text))
        return items + self._guard.health()

    def _take_settings(self) -> None:
        report = self._around.boards.read("settings")
        if report is not None and report.written_ns != self._settings_ns:
            self._settings_ns = report.written_ns
            self._config = with_changes(self._around.config, report.content)
            self._checkpoints.least_seconds = self._config.storage.checkpoint_seconds
            self._guard.config = self._config.guard
            self._log.level = self._config.service.log_level


def clock_time(wall_ns: int) -> str:
    """Return a time for people, in UTC.

    >>> clock_time(1_700_000_000 * 10**9)
    '2023-11-14 22:13:20 UTC'
    """
    return f"{datetime.fromtimestamp(wall_ns // 10**9, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _health_item(code: str, severity: str, message: str, since_ns: int = 0) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "since_ns": since_ns}
