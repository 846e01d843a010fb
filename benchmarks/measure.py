"""What every benchmark here needs: a budget, CPU time of processes, medians with spread, a result on file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_TICK = os.sysconf("SC_CLK_TCK")


def parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes: how long, and where the result goes."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--budget", type=float, default=60.0, help="minutes after which nothing is measured once more")
    made.add_argument("--folder", type=Path, default=RESULTS, help="of the result; by default that of the kept ones")
    return made


def repeats(most: int, minutes: float) -> Iterator[int]:
    """Yield 0, 1, ... up to `most` numbers; fewer when the time is up, but the first in any case."""
    deadline = time.monotonic() + 60 * minutes
    for number in range(most):
        if number and time.monotonic() >= deadline:
            return
        yield number


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far, all threads."""
    try:
        total = 0.0
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9
        return total
    except (FileNotFoundError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK


def memory_megabytes(pid: int) -> dict[str, float]:
    """Return a process's share of memory, 10^6 bytes: private and divided-up pages, by kind."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        found[name.rstrip(":")] = int(value) * 1024 / 1e6
    return {"anon": found["Pss_Anon"], "shared": found["Pss_Shmem"], "file": found["Pss_File"]}


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "runs": len(values)}


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def machine_name() -> str:
    """Return the machine in one line."""
    facts = machine()
    return f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}"


def revision() -> str:
    """Return the commit that was measured."""
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


def read(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return a result on file."""
    result: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return result


def publish(name: str, folder: Path, result: Mapping[str, Any]) -> None:
    """Print a result, and keep it in a folder with the command that gave it."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "command": " ".join([f"python -m benchmarks.{name}", *_without_folder(sys.argv[1:])]),
        "revision": revision(),
        "machine": machine(),
        **result,
    }
    (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def _without_folder(arguments: Sequence[str]) -> list[str]:
    """Leave out where the result went: nobody else's business."""
    place = arguments.index("--folder") if "--folder" in arguments else len(arguments)
    return [*arguments[:place], *arguments[place + 2 :]]
