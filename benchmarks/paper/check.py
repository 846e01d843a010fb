"""Some of the kept runs again, to see that they were what they say."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.paper import store, tasks
from benchmarks.paper.jobs import results
from benchmarks.paper.run import Curve
from benchmarks.paper.settings import Settings
from benchmarks.paper.statistics import SMOOTHING
from titand.errors import NotFound

MOST = 20  # runs that are repeated, budget allowing
CLOSE = 3.0  # points: other processors round differently, and curves then part


def repeat_some(folder: Path, seed: int, jobs: int, seconds: float) -> int:
    """Repeat kept runs, drawn by chance, until the time is up; return how many end elsewhere than they did.

    Runs that alone would take longer than the time are left out, and those whose data are not on this machine.
    """
    kept = {record.settings.key: record for record in store.records(folder) if record.curve.seconds <= seconds}
    there = available({record.settings.task for record in kept.values()})
    keys = sorted(key for key, record in kept.items() if record.settings.task in there)
    wanted: list[Settings] = [kept[key].settings for key in random.Random(seed).sample(keys, min(MOST, len(keys)))]
    astray = 0
    for settings, curve in results(wanted, jobs, time.monotonic() + seconds):
        before = kept[settings.key].curve
        difference = end(curve) - end(before)
        astray += abs(difference) > CLOSE
        verdict = "equal" if curve.accuracy == before.accuracy else f"{difference:+.2f} points at the end"
        print(f"{settings.key}: {verdict}", flush=True)
    return astray


def available(names: Iterable[str]) -> set[str]:
    """Return the tasks whose data are on this machine; say of the others what is missing."""
    found = set()
    for name in sorted(names):
        try:
            tasks.load(name)
            found.add(name)
        except NotFound as error:
            print(f"{name} is left out: {error}", flush=True)
    return found


def end(curve: Curve) -> float:
    """Return the final accuracy in percent: of the averaged parameters, over the last points, as it varies least."""
    return statistics.fmean(curve.average_accuracy[-SMOOTHING:]) / 100
