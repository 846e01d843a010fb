"""Watches the jtop probe: a child process that may hang, die, fall silent or never have been possible.

One thread and no waiting: every `read` takes what has arrived, and ends, replaces or leaves alone the child as its
age demands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

from titand.telemetry import jtop_probe
from titand.telemetry.jtop_install import SOCKET, service_interpreter
from titand.telemetry.jtop_sample import SOURCE, above_zero, to_reading, without_doubtful_zeros
from titand.telemetry.sensors import NANOSECONDS, Reading

START_SECONDS = 20.0  # import, connection and first sample, on a board that is busy
SILENT_SECONDS = 5.0  # between samples; or four of the service's intervals, if that is longer
PAUSES_SECONDS = (1.0, 60.0)  # between starts: doubled each time, until a sample arrives or the socket goes
CHUNK_BYTES, CHUNKS = 1 << 16, 16  # what one reading takes at most; a sample is 4 kB

REMEDIES = (
    ("not active", "Start it: sudo systemctl restart jtop.service"),
    ("can't access", "Let titand's user in: sudo usermod -aG jtop USER, then restart titand"),
    ("Mismatch version", "Give service and probe one version: sudo pip3 install -U jetson-stats, restart jtop"),
    ("not installed", "Install it: sudo pip3 install -U jetson-stats"),
)


class Jtop:
    """The sensor that is jtop: the newest sample of the probe, while it is fresh.

    Args:
        interval: seconds between samples, as asked of the service; another client may have set a longer one.
        is_expected: whether this machine should have the service, so that its absence is worth a word.
        command: what starts the probe, without its interval; by default the interpreter of the installed
            service, or else our own.
        socket: of the service; while it is not there no process is started.
        start_seconds: patience with a probe that has not sampled yet.
        silent_seconds: patience between samples.
        pauses_seconds: the shortest and the longest pause between starts.
    """

    name = SOURCE

    def __init__(
        self,
        interval: float = 1.0,
        is_expected: bool = False,
        command: tuple[str, ...] | None = None,
        socket: str = SOCKET,
        start_seconds: float = START_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
        pauses_seconds: tuple[float, float] = PAUSES_SECONDS,
    ) -> None:
        self._interval = interval
        self._is_expected = is_expected
        self._command = command
        self._socket = socket
        self._start_seconds = start_seconds
        self._silent_seconds = silent_seconds
        self._pauses = pauses_seconds
        self._child: _Probe | None = None
        self._latest: Reading | None = None
        self._version = ""
        self._proven: frozenset[str] = frozenset()
        self._reason = ""
        self._pause = pauses_seconds[0]
        self._next_start_ns = 0
        self.start_count = 0

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`. The time of the reading is the time at which the service took the sample."""
        if self._child is not None:
            self._take(self._child, now_ns)
        if self._child is None:
            self._start(now_ns)
        if self._latest is not None and now_ns - self._latest.time_ns < self._patience_ns():
            return self._latest._replace(detail=self._reason)
        self._latest = None
        if not self._reason and self._child is None:
            return None
        detail = self._reason or "waiting for the first sample"
        return Reading(self.name, now_ns, detail=detail, version=self._version)

    def close(self) -> None:
        """End the probe."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _start(self, now_ns: int) -> None:
        if not os.path.exists(self._socket):
            self._reason = explain(f"jtop.service is not active: no {self._socket}") if self._is_expected else ""
            self._pause, self._next_start_ns = self._pauses[0], now_ns
            return
        if now_ns < self._next_start_ns:
            return
        command = self._command or (service_interpreter() or sys.executable, "-I", jtop_probe.__file__)
        self.start_count += 1
        try:
            self._child = _Probe((*command, str(self._interval)), now_ns)
        except OSError as error:
            self._give_up(f"{command[0]}: {error.strerror}", now_ns)

    def _take(self, child: _Probe, now_ns: int) -> None:
        try:
            for message in child.messages(now_ns):
                self._on_message(message, child, now_ns)
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # a jtop of another shape
            child.ended = f"its answer cannot be read: {type(error).__name__}: {error}"
        if child.ended is not None:
            self._give_up(child.ended, now_ns)
        elif now_ns - child.heard_ns >= self._patience_ns(child.has_sampled):
            self._give_up(f"silent for {(now_ns - child.heard_ns) / NANOSECONDS:.1f} s", now_ns)

    def _on_message(self, message: Mapping[str, Any], child: _Probe, now_ns: int) -> None:
        if "hello" in message:
            # The first client of the service sets its interval; one that asks for less than it gets gives up.
            self._interval = max(self._interval, float(message["hello"]["interval"]))
            self._version = str(message["hello"]["version"])
        elif "sample" in message:
            child.has_sampled = True
            reading = to_reading(message["sample"], min(int(message["time_ns"]), now_ns), self._version)
            self._proven |= above_zero(reading)
            self._latest = without_doubtful_zeros(reading, self._proven)
            self._reason, self._pause = "", self._pauses[0]
        else:
            child.ended = str(message["end"])

    def _give_up(self, reason: str, now_ns: int) -> None:
        self.close()
        count = f" (probe started {self.start_count} times)" if self.start_count > 1 else ""
        self._reason = explain(reason) + count
        self._next_start_ns = now_ns + int(self._pause * NANOSECONDS)
        self._pause = min(2 * self._pause, self._pauses[1])

    def _patience_ns(self, has_sampled: bool = True) -> float:
        seconds = max(self._silent_seconds, 4 * self._interval)
        return (seconds if has_sampled else max(seconds, self._start_seconds)) * NANOSECONDS


class _Probe:
    """A running probe and its lines."""

    def __init__(self, command: tuple[str, ...], now_ns: int) -> None:
        self.heard_ns = now_ns
        self.has_sampled = False
        self.ended: str | None = None
        self._rest = b""
        # Its input stays open and empty: the probe ends when it closes, so it cannot outlive us.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._lines = cast(IO[bytes], self._process.stdout)
        self._leash = cast(IO[bytes], self._process.stdin)
        os.set_blocking(self._lines.fileno(), False)

    def messages(self, now_ns: int) -> Iterator[Mapping[str, Any]]:
        """Yield what has arrived; set `ended` when no more can come."""
        try:
            for _ in range(CHUNKS):
                chunk = os.read(self._lines.fileno(), CHUNK_BYTES)
                self._rest += chunk
                if not chunk:
                    self.ended = "the probe ended without a word"
                    break
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) >= CHUNKS * CHUNK_BYTES:
            self.ended = "the probe sends a line without end"
        for line in lines:
            self.heard_ns = now_ns
            yield json.loads(line)

    def end(self) -> None:
        """End the process, stopped or hanging as it may be."""
        self._process.kill()
        self._process.wait()
        self._lines.close()
        self._leash.close()


def explain(reason: str) -> str:
    """Return a reason with the one thing to do about it, where one is known.

    >>> explain("The jtop.service is not active. Please run:")
    'The jtop.service is not active. Start it: sudo systemctl restart jtop.service'
    """
    reason = reason.replace(" Please run:", "").rstrip(". ")
    for sign, remedy in REMEDIES:
        if sign in reason:
            return f"{reason}. {remedy}"
    return reason
