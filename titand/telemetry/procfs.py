"""The machine and our own processes, from /proc: what needs no board, no service and no permission."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil

from titand.telemetry.sensors import NANOSECONDS, Reading, quantities
from titand.telemetry.sysfs import read_text

MEMORY_SECONDS = 10.0  # between walks of a process's pages: 2.4 ms of a core for each that has torch loaded


class Machine:
    """The sensor of processor, memory, swap and pressure of the whole machine."""

    name = "procfs"

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._last: tuple[float, float] | None = None

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`. Utilization is the mean since the reading before, so the first reading has none."""
        memory = psutil.virtual_memory()
        values = quantities(
            cpu_utilization_ratio=self._utilization(),
            cpu_pressure_ratio=pressure(self._proc, "cpu"),
            load_average_1m=os.getloadavg()[0],
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            memory_pressure_ratio=pressure(self._proc, "memory"),
            io_pressure_ratio=pressure(self._proc, "io"),
            swap_used_bytes=psutil.swap_memory().used,
        )
        return Reading(self.name, now_ns, values=values)

    def _utilization(self) -> float | None:
        times = psutil.cpu_times()
        # guest time is already in user time
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy = total - times.idle - getattr(times, "iowait", 0.0)
        last, self._last = self._last, (busy, total)
        if last is None or total <= last[1]:
            return None
        return min(1.0, max(0.0, (busy - last[0]) / (total - last[1])))


def pressure(proc: str, resource: str) -> float | None:
    """Return the share of the last 10 s in which some task waited for a resource, 0 to 1 (PSI, avg10 of "some").

    None: a kernel without pressure stall information.
    """
    for line in (read_text(os.path.join(proc, "pressure", resource)) or "").splitlines():
        kind, *fields = line.split()
        if kind == "some":
            average = dict(field.split("=") for field in fields).get("avg10")
            return None if average is None else float(average) / 100
    return None


class Memory(NamedTuple):
    """What a process's pages cost the machine, in bytes.

    Attributes:
        pss: its private pages, and its share of the pages that several processes have.
        pss_anon: that of its own heap and stacks.
        shared: all pages that others have mapped too, whole.
    """

    pss: int
    pss_anon: int
    shared: int


def process_memory(proc: str, pid: int) -> Memory | None:
    """Return a process's memory, or None when it is gone or is not ours to ask."""
    text = read_text(os.path.join(proc, str(pid), "smaps_rollup"))
    if text is None:
        return None
    kilobytes = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        kilobytes[name] = int(rest.split()[0])
    try:
        shared = kilobytes["Shared_Clean"] + kilobytes["Shared_Dirty"]
        return Memory(kilobytes["Pss"] * 1024, kilobytes["Pss_Anon"] * 1024, shared * 1024)
    except KeyError:  # before kernel 5.5 there was no Pss_Anon
        return None


class ProcessTable:
    """Our own processes by name: memory, processor time, threads, descriptors, context switches.

    Args:
        proc: root of procfs, for the memory.
        memory_seconds: how often memory is measured; between, the last figures stand, with their age.
    """

    def __init__(self, proc: str = "/proc", memory_seconds: float = MEMORY_SECONDS) -> None:
        self._proc = proc
        self._memory_ns = memory_seconds * NANOSECONDS
        self._known: dict[int, _Process] = {}

    def read(self, pids: Mapping[str, int], now_ns: int) -> list[dict[str, Any]]:
        """Return an entry for each process that is there.

        Args:
            pids: process id by name; who is gone is left out.
            now_ns: the monotonic time.
        """
        self._known = {pid: known for pid, known in self._known.items() if pid in pids.values()}
        rows = []
        for name, pid in pids.items():
            row = self._read_one(pid, now_ns)
            if row is not None:
                rows.append({"name": name, "pid": pid, **row})
        return rows

    def _read_one(self, pid: int, now_ns: int) -> dict[str, Any] | None:
        try:
            known = self._known.get(pid)
            if known is None or not known.process.is_running():  # a number is used again for another process
                known = self._known[pid] = _Process(psutil.Process(pid))
            return known.read(self._proc, self._memory_ns, now_ns)
        except psutil.Error:
            self._known.pop(pid, None)
            return None


class _Process:
    """One process, with what the next reading compares itself to."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self._cpu: tuple[float, int] | None = None
        self._memory: tuple[Memory, int] | None = None

    def read(self, proc: str, memory_ns: float, now_ns: int) -> dict[str, Any]:
        with self.process.oneshot():
            times = self.process.cpu_times()
            row: dict[str, Any] = {
                "threads": self.process.num_threads(),
                "fds": self.process.num_fds(),
                "voluntary_switches": self.process.num_ctx_switches().voluntary,
                "cpu_seconds": times.user + times.system,
            }
        last, self._cpu = self._cpu, (row["cpu_seconds"], now_ns)
        if last is not None and now_ns > last[1]:
            row["cpu_ratio"] = (row["cpu_seconds"] - last[0]) / ((now_ns - last[1]) / NANOSECONDS)
        if self._memory is None or now_ns - self._memory[1] >= memory_ns:
            memory = process_memory(proc, self.process.pid)
            self._memory = None if memory is None else (memory, now_ns)
        if self._memory is not None:
            memory, time_ns = self._memory
            row.update({f"{name}_bytes": value for name, value in memory._asdict().items()})
            row["memory_age_seconds"] = (now_ns - time_ns) / NANOSECONDS
        return row
