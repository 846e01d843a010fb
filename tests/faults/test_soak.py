"""At a high rate for long: memory, descriptors, threads and disk stay where they are.

A quarter of a minute by commit; `make nightly` takes $SOAK_MINUTES, two hours unless it is set.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from pathlib import Path

import pytest

import titan
from tests.e2e.daemon import SECONDS, health_of
from tests.faults.processes import descriptors_of, family_of, memory_of, threads_of
from tests.faults.slopes import slope_of
from tests.faults.witness import witnessed

MEBIBYTE = 1 << 20
MINUTES = float(os.environ.get("SOAK_MINUTES", "120"))
SETTLES = 0.4  # of the time, until caches are full, pages touched and files rotated
READINGS = 120
HOUR = 3600.0
# What counts as growth, per second: by commit what 250 bytes a sample would be, by night two mebibytes an hour.
BOUNDS = {"memory": 0.25 * MEBIBYTE, "disk": 0.1 * MEBIBYTE, "descriptors": 0.0, "threads": 0.0}
LONG_BOUNDS = {"memory": 2 * MEBIBYTE / HOUR, "disk": 0.1 * MEBIBYTE / HOUR, "descriptors": 0.0, "threads": 0.0}
CHANGES = {
    "storage.daily_bytes": 10**12,
    "storage.checkpoint_seconds": 0.5,
    "storage.snapshot_rounds": 20,
    "storage.keep_snapshots": 3,
}


def read(daemon) -> dict[tuple[str, str], float]:
    """Return what each process of a daemon has, and its files."""
    values: dict[tuple[str, str], float] = {}
    for name, pid in {"supervisor": daemon.pid, **family_of(daemon.pid)}.items():
        values[name, "memory"] = memory_of(pid)
        values[name, "descriptors"] = descriptors_of(pid)
        values[name, "threads"] = threads_of(pid)
    values["state folder", "disk"] = size_of(daemon.folder / "state")
    return values


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    sizes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                pass  # rotated away
    return sizes


def visit(daemon) -> None:
    """Do what clients do now and then: come, look around, and go."""
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        client.training()
        client.telemetry()
        next(client.watch_training())
        if snapshots := client.snapshots():
            client.snapshot(snapshots[0].name)


@pytest.mark.parametrize(
    ("seconds", "bounds"),
    [
        (15.0, BOUNDS),
        pytest.param(
            60 * MINUTES, LONG_BOUNDS, marks=[pytest.mark.nightly, pytest.mark.timeout(int(70 * MINUTES) + 300)]
        ),
    ],
    ids=["short", "long"],
)
def test_nothing_grows(daemons, tally, seconds, bounds):
    daemon = daemons(CHANGES).start()
    with witnessed(daemon, count=2) as books:
        before = family_of(daemon.pid)
        start = time.monotonic()
        times: list[float] = []
        series: dict[tuple[str, str], list[float]] = {key: [] for key in read(daemon)}
        while (now := time.monotonic() - start) < seconds:
            visit(daemon)
            if now > SETTLES * seconds:
                times.append(now)
                for key, value in read(daemon).items():
                    series[key].append(value)
            books.pass_time(min(seconds / READINGS / 2, 5.0))
        assert family_of(daemon.pid) == before
        training = books.until(books.look)
        assert health_of(training) == set()
    pushed = sum(witness.acknowledged for witness in books.witnesses)
    print(f"\n{pushed} samples in {seconds:.0f} s, {training.round_count} rounds; {len(times)} readings; per hour:")
    slopes = {key: slope_of(times, values) for key, values in series.items()}
    for (who, what), slope in slopes.items():
        unit = MEBIBYTE if what in ("memory", "disk") else 1
        slope_shown = type(slope)(*(each / unit for each in slope)).per_hour()
        print(f"  {who:12} {what:11} {statistics.median(series[who, what]) / unit:8.1f} {slope_shown}")
    growing = {key for key, slope in slopes.items() if not slope.is_below(bounds[key[1]])}
    assert not growing
    assert daemon.stop() == 0
    tally["second of soak"] += round(seconds)


def test_a_slope_is_found_in_noise_and_none_where_there_is_none():
    chance = random.Random(0)
    seconds = [float(second) for second in range(100)]
    for true in (0.0, 0.5, -2.0):
        inside = 0
        for _ in range(40):
            values = [7 + true * second + chance.gauss(0, 20) for second in seconds]
            values[chance.randrange(100)] = 1e6  # somebody else's moment
            slope = slope_of(seconds, values)
            inside += slope.low <= true <= slope.high
        assert inside >= 34
    assert not slope_of(seconds, [0.5 * second for second in seconds]).is_below(0.4)
    assert slope_of(seconds, [0.5 * second for second in seconds]).is_below(0.6)
