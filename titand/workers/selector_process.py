"""The process around the selector: waits, reports, and hands batches over."""

from __future__ import annotations

import dataclasses
import os
from contextlib import suppress
from typing import Any

from titand.clock import Clock
from titand.config import with_changes
from titand.errors import InvalidRequest, TitanError
from titand.records import Permit, from_plain
from titand.runtime.arena import recover_slots
from titand.runtime.channels import Channel, ChannelClosed, is_overdue, plain_error
from titand.runtime.descriptors import Descriptors
from titand.runtime.log import Log
from titand.runtime.parameters import ParameterBoard
from titand.workers.assembly import (
    Surroundings,
    budgets_of,
    build_selector,
    filter_rule,
    restore_selector,
    selector_state_bytes,
)
from titand.workers.selector import SelectorWorker
from titand.workers.signals import Stop

_REPORT_SECONDS = 0.1
_BEAT_SECONDS = 0.5  # longest wait, so that the heartbeat goes on
_STATE_SECONDS = 5.0  # between two copies of what was learned about the stream


def run_selector(descriptors: Descriptors, trainer: Channel, clock: Clock) -> int:
    """Run until asked to end or until the trainer is gone; return the exit status."""
    around = Surroundings.open(descriptors, clock)
    log = Log("selector", around.config.service.log_level)
    stop = Stop()
    permit = _first_permit(trainer, stop)
    if permit is None:
        return 0
    version = ParameterBoard(descriptors.parameters).version
    try:
        worker = build_selector(around)
    except TitanError as error:
        around.boards.write("selector", {"state": "failed", **dataclasses.asdict(_Failure.of(error))})
        log.error("cannot start", reason=error.reason, message=str(error))
        return os.EX_CONFIG
    if state := around.memory.read():
        try:
            restore_selector(worker, state)
        except (ValueError, KeyError) as error:
            log.warning("what was known of the stream does not fit and is dropped", why=error)
    if recovered := recover_slots(around.arena, version, permit.round - 1, worker.candidates):
        log.warning("samples of the last selector are filtered again", count=recovered)
    around.memory.write(selector_state_bytes(worker))  # a successor must not go on with a window that is past
    log.info("ready", device=worker.report()["device"], version=version)
    return _SelectorLoop(around, worker, trainer, stop, permit).run()


def _first_permit(trainer: Channel, stop: Stop) -> Permit | None:
    """Wait for the trainer to have published a version."""
    while not stop.is_set:
        if stop.wait([trainer.fileno()], None):
            try:
                message = trainer.receive(0)
            except ChannelClosed:
                return None
            if message is not None:
                return from_plain(Permit, message)
    return None


@dataclasses.dataclass(frozen=True)
class _Failure:
    state_reason: str
    state_message: str

    @staticmethod
    def of(error: TitanError) -> _Failure:
        return _Failure(error.reason, str(error))


class _SelectorLoop:
    """Takes whatever comes next: a permit, filled slots, or time to look at held-out samples."""

    def __init__(
        self, around: Surroundings, worker: SelectorWorker, trainer: Channel, stop: Stop, permit: Permit
    ) -> None:
        self._around = around
        self._worker = worker
        self._trainer = trainer
        self._front = Channel.of_descriptor(around.descriptors.selector)
        self._stop = stop
        self._permit: Permit | None = permit
        self._settings_ns = 0
        self._reported_ns = 0
        self._remembered_ns = around.clock.monotonic_ns()

    def run(self) -> int:
        try:
            self._serve()
        except ChannelClosed:
            return 0  # the trainer is gone, and both start again
        # For the checkpoint that the trainer writes now.
        self._around.memory.write(selector_state_bytes(self._worker, with_window=True))
        return 0

    def _serve(self) -> None:
        filled, front = self._around.descriptors.filled, self._front.fileno()
        worker = self._worker
        worker.load(self._permit.version if self._permit else 0)
        more = True  # slots may have been filled before we came
        while not self._stop.is_set:
            idle = not more
            readable = self._stop.wait([filled, front, self._trainer.fileno()], _BEAT_SECONDS if idle else 0)
            if filled in readable:
                os.eventfd_read(filled)
                more = True
            if self._trainer.fileno() in readable and (message := self._trainer.receive(0)) is not None:
                self._permit = from_plain(Permit, message)
                worker.load(self._permit.version)
            if front in readable:
                self._answer()
            if more:
                more = worker.on_filled()
            if self._permit is not None:
                evaluated = worker.evaluate_some(self._permit.round)
                if worker.is_window_ready:
                    self._select(self._permit)
                else:
                    more = more or evaluated
            self._report(force=idle and not readable)

    def _answer(self) -> None:
        """Correct labels, between two steps, so that none is read half corrected; or tell who is suspicious."""
        message = self._front.receive(0)
        if message is None or is_overdue(message, self._around.clock):
            return
        reply: dict[str, Any] = {"id": message.get("id")}
        if message.get("verb") == "correct":
            reply["answer"] = {"outcomes": [self._worker.correct(*each) for each in message["corrections"]]}
        elif message.get("verb") == "suspects":
            reply["answer"] = self._worker.evaluator.suspicion.to_plain()
        else:
            reply["error"] = plain_error(
                InvalidRequest("UNKNOWN_VERB", f"The selector does not know '{message.get('verb')}'.")
            )
        with suppress(ChannelClosed):  # the front has not read for long, and whoever asked has given up
            self._front.send(reply)

    def _select(self, permit: Permit) -> None:
        batch = self._worker.on_permit(permit)
        if not batch.slots and not batch.facts["candidate_count"]:
            return  # no candidate: the next window gets the permit
        self._permit = None
        facts = {**batch.facts, "sent_ns": self._around.clock.monotonic_ns()}
        self._trainer.send(dataclasses.asdict(dataclasses.replace(batch, facts=facts)))

    def _report(self, force: bool) -> None:
        boards, now = self._around.boards, self._around.clock.monotonic_ns()
        if now - self._reported_ns < (0 if force else _REPORT_SECONDS * 1e9):
            return
        self._reported_ns = now
        self._take_settings()
        selection = self._around.config.selection
        choice = {"policy": selection.policy, "filter": filter_rule(selection)}
        boards.write("selector", {"state": "ready", **choice, **self._worker.report(), "health": self._worker.health()})
        if now - self._remembered_ns > _STATE_SECONDS * 1e9:
            self._remembered_ns = now
            self._around.memory.write(selector_state_bytes(self._worker))

    def _take_settings(self) -> None:
        report = self._around.boards.read("settings")
        if report is not None and report.written_ns != self._settings_ns:
            self._settings_ns = report.written_ns
            self._worker.budgets = budgets_of(with_changes(self._around.config, report.content))
