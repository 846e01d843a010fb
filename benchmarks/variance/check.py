"""Some of the kept errors measured again, to see that they were what they say."""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.variance import store
from benchmarks.variance.error import relative_error
from benchmarks.variance.methods import METHODS
from benchmarks.variance.store import Record
from benchmarks.variance.trace import Conditions, Trace, recorded
from titand.errors import NotFound

CLOSE = 0.2  # as a share: other processors round differently, and training then goes another way


def measure_some(folder: Path, seed: int, minutes: float, draws: int = 5) -> int:
    """Measure kept errors again, trace after trace in chance order, until the time is up; the first in any case.

    Returns:
        How many are further than `CLOSE` from what was kept.
    """
    deadline = time.monotonic() + 60 * minutes
    kept = defaultdict[Conditions, list[Record]](list)
    for record in store.records(folder).values():
        kept[record.case.conditions].append(record)
    order = sorted(kept, key=lambda conditions: conditions.name)
    random.Random(seed).shuffle(order)
    astray, done, missing = 0, 0, set[str]()
    for conditions in order:
        if done and time.monotonic() >= deadline:
            break
        if conditions.task in missing:
            continue
        try:
            trace = _made_anew(conditions)
        except NotFound as error:
            print(f"{conditions.task}: passed over. {error}", flush=True)
            missing.add(conditions.task)
            continue
        done += 1
        for record in kept[conditions]:
            case, before = record.case, record.error.mean
            now = relative_error(METHODS[case.method], trace, case.batch_size, case.capacity, draws).mean
            astray += abs(now - before) > CLOSE * before
            print(f"{case.key}: {now:.4g}, kept {before:.4g}", flush=True)
    print(f"{done} traces made anew, {astray} errors astray")
    return astray


def _made_anew(conditions: Conditions) -> Trace:
    with tempfile.TemporaryDirectory() as cache:
        return recorded(conditions, [conditions.stage], Path(cache))[conditions.stage]
