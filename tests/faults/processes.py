"""The daemon's processes as the kernel sees them, whatever the daemon says of itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.e2e.daemon import WORKERS

PROCESSES = ("front", "zygote", "telemetry", *WORKERS)
TOGETHER = {  # who ends with whom
    "front": ("front",),
    "telemetry": ("telemetry",),
    "zygote": ("zygote", *WORKERS),
    "selector": WORKERS,
    "trainer": WORKERS,
}


def family_of(supervisor: int) -> dict[str, int]:
    """Return the process ids of a supervisor's descendants, by name; those that are dying are not among them."""
    found: dict[str, int] = {}
    parents = [supervisor]
    while parents:
        for child in _children_of(parents.pop()):
            name, state = _name_and_state(child)
            parents.append(child)
            if state not in ("Z", "X", ""):
                for each in PROCESSES:
                    if f"titand-{each}"[:15] == name:
                        found.setdefault(each, child)  # a child that is about to be another program has its name too
    return found


def _children_of(pid: int) -> list[int]:
    try:
        return [
            int(child) for task in os.listdir(f"/proc/{pid}/task")
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        ]  # fmt: skip
    except OSError:
        return []


def _name_and_state(pid: int) -> tuple[str, str]:
    try:
        match = re.search(r"\((.*)\) (\w)", Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return "", ""
    return (match[1], match[2]) if match else ("", "")


def birth_of(pid: int) -> tuple[int, int] | None:
    """Return what tells a process from a later one of the same id, in clock ticks since the machine's start.

    None: it is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return pid, int(fields[19])


def memory_of(pid: int) -> int:
    """Return the bytes of memory that are a process's own, its share of what it shares included."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def descriptors_of(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def cpu_seconds_of(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
