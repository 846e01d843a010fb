"""Some of the kept runs again, to see that they were what they say."""

from __future__ import annotations

import random
import time
from pathlib import Path

from benchmarks.paper import store, tasks
from benchmarks.paper.jobs import results
from titand.errors import NotFound

MOST = 20  # runs that are repeated, budget allowing
CLOSE = 300  # parts of ten thousand: other processors round differently, and curves then part


def repeat_some(folder: Path, seed: int, jobs: int, seconds: float) -> int:
    """Repeat kept runs, drawn by chance, until the time is up; return how many end elsewhere than they did."""
    records = store.records(folder)
    here = {task for task in {record.settings.task for record in records} if _is_here(task)}
    kept = {record.settings.key: record for record in records if record.settings.task in here}
    drawn = random.Random(seed).sample(sorted(kept), min(MOST, len(kept)))
    wanted = [kept[key].settings for key in drawn]
    astray = 0
    for settings, curve in results(wanted, jobs, time.monotonic() + seconds):
        before = kept[settings.key].curve
        is_equal = curve.accuracy == before.accuracy
        difference = curve.accuracy[-1] - before.accuracy[-1]
        astray += abs(difference) > CLOSE
        verdict = "equal" if is_equal else f"{difference / 100:+.2f} points at the end"
        print(f"{settings.key}: {verdict}", flush=True)
    return astray


def _is_here(task: str) -> bool:
    try:
        tasks.load(task)
    except NotFound as error:
        print(f"{task}: passed over. {error}", flush=True)
        return False
    return True
