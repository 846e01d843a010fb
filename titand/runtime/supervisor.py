"""The supervisor: owns the shared memories, starts and watches the processes, talks to systemd.

It takes no sample and computes nothing, so it has nothing to crash over. Everything that another process may lose by
dying is in memory that this one holds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from titand.clock import Clock
from titand.errors import TitanError
from titand.runtime.boards import Boards
from titand.runtime.channels import Channel, ChannelClosed, is_overdue, plain_error
from titand.runtime.children import Child, is_stuck, kill
from titand.runtime.exports import Exports
from titand.runtime.log import Log
from titand.runtime.restarts import Restarts, describe_exit
from titand.runtime.systemd import Notifier
from titand.runtime.waiting import readable

_TICK_SECONDS = 0.25
_BOARD_SECONDS = 1.0
_SLOW_FACTOR = 20  # a worker that runs but says nothing for this many times hang_seconds counts as hung too
_EX_CONFIG = os.EX_CONFIG


@dataclass(frozen=True)
class Rules:
    """Deadlines, in seconds.

    Attributes:
        stop_seconds: of an orderly stop.
        hang_seconds: silence after which a stuck process is killed.
        restart_seconds: longest delay before what keeps ending is started again.
        export_seconds: time of an export; less than the front waits for it, so that it can say why there is none.
    """

    stop_seconds: float
    hang_seconds: float
    restart_seconds: float
    export_seconds: float = 280.0


class Supervisor:
    """Keeps front, zygote, selector, trainer and telemetry alive until told to stop.

    Args:
        front, zygote, telemetry: the programs.
        exporter: command that makes an export, given a snapshot's name and a format.
        boards: where everybody reports.
        rules: deadlines.
        facts: what the board says besides: version, state folder, health found at the start.
        reload: reads the configuration again; returns what changed, and the keys that need a restart.
        notifier: systemd.
        clock: time.
        log: lines for people.
    """

    def __init__(
        self,
        front: Child,
        zygote: Child,
        telemetry: Child,
        exporter: Callable[[str, str], list[str]],
        boards: Boards,
        rules: Rules,
        facts: Mapping[str, Any],
        reload: Callable[[], tuple[dict[str, Any], list[str]]],
        notifier: Notifier,
        clock: Clock,
        log: Log,
    ) -> None:
        self._children = (front, zygote, telemetry)
        self._front, self._zygote, self._telemetry = front, zygote, telemetry
        self._boards = boards
        self._rules = rules
        self._facts = dict(facts)
        self._reload = reload
        self._notifier = notifier
        self._clock = clock
        self._log = log
        self._pair = Restarts()
        for restarts in (self._pair, *(child.restarts for child in self._children)):
            restarts.longest_seconds = rules.restart_seconds
        self._pair_pids: dict[str, int] = {}
        self._hung_since_ns: dict[str, int] = {}  # killed then, not yet known to have ended
        self._zygote_ready = False
        self._failure: dict[str, str] = {}
        self._exports = Exports(exporter, rules.export_seconds, clock, log)
        self._health: list[dict[str, Any]] = list(facts.get("health", []))
        self._state, self._state_since_ns = "starting", clock.wall_ns()
        self._written_ns = 0
        self._was_ready = False
        self._stop_requested = False
        self._reload_requested = False

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; return the exit status."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        while not self._stop_requested:
            self._start_due()
            self._write_board()
            for descriptor in self._wait(reading):
                if descriptor == reading:
                    os.read(reading, 4096)
                else:
                    self._listen(descriptor)
            self._reap()
            for answer in self._exports.finished():
                self._send_front(answer)
            self._kill_stuck()
            if self._reload_requested:
                self._reload_requested = False
                self._apply_reload()
        return self._stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requested |= number in (signal.SIGTERM, signal.SIGINT)
        self._reload_requested |= number == signal.SIGHUP

    def _wait(self, reading: int) -> set[int]:
        channels = [child.channel.fileno() for child in (self._front, self._zygote) if child.pid and child.channel]
        return readable([reading, *channels], _TICK_SECONDS)

    # ---- starting

    def _start_due(self) -> None:
        for child in self._children:
            if child.start_if_due():
                self._log.info("started", process=child.name, pid=child.pid)
        if self._zygote_ready and self._pair.is_due(self._clock.monotonic_ns()):
            self._say_to_zygote("fork")
            self._pair.due_ns = None

    def _say_to_zygote(self, verb: str) -> None:
        if self._zygote.channel is None:
            return
        try:
            self._zygote.channel.send({"verb": verb})
        except ChannelClosed:
            pass  # its end is seen by _reap

    # ---- listening

    def _listen(self, descriptor: int) -> None:
        for child in (self._front, self._zygote):
            if child.channel is None or child.channel.fileno() != descriptor:
                continue
            try:
                message = child.channel.receive(0)
            except ChannelClosed:
                message = None
            if message is None or is_overdue(message, self._clock):
                continue
            if child is self._front:
                self._answer_front(child.channel, message)
            else:
                self._on_zygote(message)

    def _on_zygote(self, message: Mapping[str, Any]) -> None:
        now = self._clock.monotonic_ns()
        if message["event"] == "ready":
            self._zygote_ready = True
            self._pair.due_ns = now
        elif message["event"] == "forked":
            self._pair_pids = message["pids"]
            self._pair.started(now)
            self._log.info("forked", **self._pair_pids)
        elif message["event"] == "ended":
            self._on_pair_ended(message["codes"], message["ended_by_us"])

    def _on_pair_ended(self, codes: Mapping[str, int], ended_by_zygote: list[str]) -> None:
        # One of them is the cause. The other one was ended for its sake, or had ended by itself before it came to that.
        cause = min(codes, key=lambda name: (codes[name] == 0, name in ended_by_zygote))
        how = f"{cause} {self._describe_end(cause, codes[cause])}"
        self._log.warning("selector and trainer ended", how=how)
        self._pair_pids = {}
        self._pair.ended(self._clock.monotonic_ns(), how)
        for name, code in codes.items():
            self._hung_since_ns.pop(name, None)
            self._boards.end(name)
            report = self._boards.read(name)
            if code == _EX_CONFIG and report is not None:
                self._pair.gave_up()
                content = report.content
                self._failure = {"reason": content["state_reason"], "message": content["state_message"]}
        self._written_ns = 0

    def _answer_front(self, channel: Channel, message: Mapping[str, Any]) -> None:
        try:
            self._exports.begin(message)
        except TitanError as error:
            self._send_front({"id": message.get("id"), "error": plain_error(error)})

    def _send_front(self, message: Mapping[str, Any]) -> None:
        if self._front.channel is None:
            return
        try:
            self._front.channel.send(message)
        except ChannelClosed:
            pass  # who asked is gone with it

    # ---- watching

    def _reap(self) -> None:
        for child in self._children:
            code = child.poll()
            if code is None:
                continue
            child.restarts.last_exit = self._describe_end(child.name, code)
            self._log.warning("ended", process=child.name, how=child.restarts.last_exit)
            self._written_ns = 0
            if child is self._front:
                self._boards.clear("front")
                if code == _EX_CONFIG:
                    self._log.error("the front cannot start; see above")
                    self._stop_requested, self._failure = True, {"reason": "FRONT_FAILED", "message": "see the log"}
            elif child is self._telemetry:
                self._boards.end("telemetry")
            elif child is self._zygote:
                self._zygote_ready = False
                for name in self._pair_pids:
                    self._hung_since_ns.pop(name, None)
                self._pair_pids = {}
                self._pair.ended(self._clock.monotonic_ns(), f"with the zygote, {child.restarts.last_exit}")
                self._pair.due_ns = None  # once the next zygote is ready

    def _kill_stuck(self) -> None:
        now = self._clock.monotonic_ns()
        children = (self._front, self._telemetry)
        watched = [(child.name, child.pid, child.restarts) for child in children if child.pid]
        watched += [(name, pid, self._pair) for name, pid in self._pair_pids.items()]
        for name, pid, restarts in watched:
            if name in self._hung_since_ns:
                if name in self._pair_pids:  # of the others' ends we hear from the kernel
                    self._kill_deaf_zygote(now - self._hung_since_ns[name])
                continue
            silence = self._boards.silence_ns(name)
            is_loading = silence is None  # which may well take longer than between two signs of life
            if silence is None:
                silence = now - restarts.started_ns
            silent = silence / 1e9 / self._rules.hang_seconds
            if silent > _SLOW_FACTOR or (silent > 1 and not is_loading and is_stuck(pid)):
                self._kill_hung(name, pid, silence)
                self._boards.end(name)

    def _kill_deaf_zygote(self, silence: int) -> None:
        """It gives no signs of life: not telling the end of a worker that was killed is its way to hang."""
        if silence > self._rules.hang_seconds * 1e9 and self._zygote.pid and "zygote" not in self._hung_since_ns:
            self._kill_hung("zygote", self._zygote.pid, silence)

    def _kill_hung(self, name: str, pid: int, silence: int) -> None:
        self._log.error("hung, killed", process=name, pid=pid, silent_seconds=silence / 1e9)
        self._hung_since_ns[name] = self._clock.monotonic_ns()
        kill(pid)

    def _describe_end(self, name: str, code: int) -> str:
        return ("hung and was " if self._hung_since_ns.pop(name, 0) else "") + describe_exit(code)

    # ---- showing

    def _write_board(self) -> None:
        now = self._clock.monotonic_ns()
        self._notifier.alive()
        if not self._was_ready and self._boards.read("front") is not None:
            self._was_ready = True
            self._written_ns = 0
            self._notifier.ready()
            self._log.info("takes samples")
        if now - self._written_ns < _BOARD_SECONDS * 1e9:
            return
        self._written_ns = now
        self._set_state(self._present_state())
        self._boards.write(
            "supervisor",
            {
                **self._facts,
                "pid": os.getpid(),
                "state": self._state,
                "state_reason": self._failure.get("reason", ""),
                "state_message": self._failure.get("message", ""),
                "state_since_ns": self._state_since_ns,
                "processes": self._processes(),
                "health": [*self._health, *self._process_health()],
            },
        )

    def _present_state(self) -> str:
        if self._failure:
            return "failed"
        return "running" if self._pair_pids and self._boards.read("trainer") is not None else "starting"

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state, self._state_since_ns = state, self._clock.wall_ns()
            self._notifier.status(state)

    def _processes(self) -> list[dict[str, Any]]:
        rows = [(child.name, child.pid, child.restarts) for child in self._children]
        rows += [(name, self._pair_pids.get(name, 0), self._pair) for name in ("selector", "trainer")]
        return [
            {"name": name, "pid": pid, "restart_count": restarts.count, "last_exit": restarts.last_exit}
            for name, pid, restarts in rows
        ]

    def _process_health(self) -> list[dict[str, Any]]:
        items = []
        if self._failure:
            items.append(_item(self._failure["reason"], "error", self._failure["message"], self._state_since_ns))
        everybody = [(child.name, child.restarts) for child in self._children]
        for name, restarts in [*everybody, ("selector and trainer", self._pair)]:
            if restarts.is_looping(self._clock.monotonic_ns()):
                often = f"every {self._rules.restart_seconds:g} seconds"
                text = f"Keeps ending: {name} ({restarts.last_exit}); tried again {often}. See the log."
                items.append(_item("PROCESS_CRASH_LOOP", "error", text, 0))
            elif restarts.ended_lately(self._clock.monotonic_ns()) and not (restarts is self._pair and self._failure):
                text = f"Ended and started again: {name} ({restarts.last_exit}); no sample was lost."
                items.append(_item("PROCESS_RESTARTED", "warning", text, 0))
        return items

    def _apply_reload(self) -> None:
        self._notifier.reloading(self._clock.monotonic_ns())
        try:
            self._health = [item for item in self._health if item["code"] not in ("CONFIG_INVALID", "RESTART_NEEDED")]
            changed, later = self._reload()
            self._log.info("configuration read again", changed=sorted(changed), needs_restart=later)
            if later:
                text = f"Changed in the file, in force after a restart: {', '.join(later)}."
                self._health.append(_item("RESTART_NEEDED", "warning", text, self._clock.wall_ns()))
        except TitanError as error:
            self._log.error("configuration not taken over", reason=error.reason, message=str(error))
            self._health.append(_item("CONFIG_INVALID", "warning", str(error), self._clock.wall_ns()))
        self._notifier.ready()

    # ---- stopping

    def _stop(self) -> int:
        """Front first, so that nothing new comes; then the selector, then the trainer, which saves; then the rest."""
        self._notifier.stopping()
        self._set_state("stopping")
        deadline = self._clock.monotonic_ns() + int(self._rules.stop_seconds * 1e9)

        def left(share: float = 1.0) -> float:
            return max(0.0, (deadline - self._clock.monotonic_ns()) / 1e9) * share

        self._front.signal(signal.SIGTERM)
        orderly = self._front.wait(left(0.3))
        if self._zygote_ready:
            self._say_to_zygote("stop")
        else:
            self._zygote.signal(signal.SIGKILL)  # it imports torch, hears nothing, and has nothing to end in order
        orderly &= self._zygote.wait(left(0.9))
        for name, pid in self._pair_pids.items():
            if os.path.exists(f"/proc/{pid}") and not orderly:
                self._log.error("did not end in time, killed", process=name)
                kill(pid)
        for child in self._children:
            child.signal(signal.SIGTERM)
            child.wait(min(1.0, left() + 0.1))
        self._exports.end()
        self._log.info("stopped", orderly=orderly)
        if self._failure.get("reason") == "FRONT_FAILED":
            return _EX_CONFIG
        return 0 if orderly else 1


def _item(code: str, severity: str, message: str, since_ns: int) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "since_ns": since_ns}
