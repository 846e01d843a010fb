"""The telemetry core: reads every sensor, and turns what they say into one reading for the other processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from titand.clock import Clock
from titand.telemetry.gpu import Gpu
from titand.telemetry.jtop import Jtop
from titand.telemetry.power import BoardPower
from titand.telemetry.procfs import Machine, ProcessTable
from titand.telemetry.rails import Rails
from titand.telemetry.rapl import Rapl
from titand.telemetry.sensors import NANOSECONDS, Merged, Reading, Sensor, merge, read_safely
from titand.telemetry.sysfs import identify
from titand.telemetry.thermal import Fans, ThermalZones

READ_SECONDS = 1.0
POWER_SECONDS = 0.2  # a rail shows one instant, so the energy of a round of seconds wants several a second
GAPS = 3  # missing that many samples of power in a row is a gap, not a straight line


class TelemetryCore:
    """The telemetry worker without its process.

    Precedence of a quantity is the order of its sources: sysfs before jtop, the board's measured input before the
    sum of its rails before the processor's own counters.

    Args:
        start_ns: the monotonic time from which energy is counted.
        sys: root of sysfs.
        proc: root of procfs.
        etc: where the board's release file is.
        jtop: the watcher of the jtop probe; None reads without it.
        interval: seconds between readings.
        power_interval: seconds between samples of the rails.
    """

    def __init__(
        self,
        start_ns: int,
        sys: str = "/sys",
        proc: str = "/proc",
        etc: str = "/etc",
        jtop: Jtop | None = None,
        interval: float = READ_SECONDS,
        power_interval: float = POWER_SECONDS,
    ) -> None:
        self.interval = interval
        self.power_interval = power_interval
        self._board = identify(sys, etc)
        self._rails = Rails(sys)
        self._jtop = jtop
        self._power = BoardPower(start_ns)
        self._machine: tuple[Sensor, ...] = (Machine(proc), Gpu(sys), ThermalZones(sys), Fans(sys))
        self._rapl = Rapl(start_ns, sys)
        self._processes = ProcessTable(proc)
        self._pids: Mapping[str, int] = {}

    @property
    def has_rails(self) -> bool:
        """Whether there are rails worth a sample between two readings."""
        return self._rails.is_present

    def watch(self, pids: Mapping[str, int]) -> None:
        """Take the process ids of the service's processes, by name."""
        self._pids = dict(pids)

    def sample_power(self, now_ns: int) -> Reading | None:
        """Read the rails alone, for the account of energy."""
        reading = read_safely(self._rails, now_ns)
        if reading is not None:
            self._power.add(reading, GAPS * self.power_interval, self._rails.missing)
        return reading

    def read(self, now_ns: int) -> dict[str, Any]:
        """Return the telemetry reading: plain data, with the source and the age of every value.

        Args:
            now_ns: the monotonic time, which the ages count from.
        """
        rails = self.sample_power(now_ns)
        jtop = read_safely(self._jtop, now_ns) if self._jtop is not None else None
        if jtop is not None and not self.has_rails:  # the rails of jtop are the same rails, read later and less often
            self._power.add(jtop, GAPS * self.interval)
        readings = (
            self._power.read(now_ns),
            *(read_safely(sensor, now_ns) for sensor in (self._rapl, *self._machine)),
            rails,
            jtop,
        )
        merged = merge([reading for reading in readings if reading is not None], now_ns)
        return self._plain(merged, jtop, now_ns)

    def close(self) -> None:
        """End the child processes."""
        if self._jtop is not None:
            self._jtop.close()

    def _plain(self, merged: Merged, jtop: Reading | None, now_ns: int) -> dict[str, Any]:
        processes = self._processes.read(self._pids, now_ns)
        for row in processes:
            row.update(jtop.processes.get(row["pid"], {}) if jtop is not None else {})
        return {
            "read_time_ns": now_ns,
            "board": self._board._asdict(),
            **merged._asdict(),
            "processes": processes,
        }


class Stop(Protocol):
    """What ends the loop; a `threading.Event` does."""

    def wait(self, timeout: float) -> bool:
        """Wait that many seconds; True as soon as it is time to stop."""


def run(core: TelemetryCore, publish: Callable[[dict[str, Any]], None], clock: Clock, stop: Stop) -> None:
    """Publish a reading every interval, and sample power between two readings, until told to stop.

    Readings that are late (a machine asleep or overloaded) are left out, not made up for.
    """
    interval_ns = int(core.interval * NANOSECONDS)
    due_ns = clock.monotonic_ns()
    while True:
        now_ns = clock.monotonic_ns()
        if now_ns >= due_ns:
            publish(core.read(now_ns))
            due_ns += interval_ns * (1 + (now_ns - due_ns) // interval_ns)
        else:
            core.sample_power(now_ns)
        until_due = max(0.0, (due_ns - clock.monotonic_ns()) / NANOSECONDS)
        if stop.wait(min(until_due, core.power_interval) if core.has_rails else until_due):
            return
