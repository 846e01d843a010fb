"""Runs one after the other, or side by side in processes of one thread each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context

import torch

from benchmarks.paper.run import Curve, run
from benchmarks.paper.settings import Settings


def results(wanted: Sequence[Settings], jobs: int, deadline: float) -> Iterator[tuple[Settings, Curve]]:
    """Yield each run as it ends; the first is begun in any case, none after the deadline."""
    if jobs > 1:
        yield from _side_by_side(wanted, jobs, deadline)
        return
    _single_thread()
    for number, each in enumerate(wanted):
        if number and time.monotonic() >= deadline:
            return
        yield each, run(each)


def _side_by_side(wanted: Sequence[Settings], jobs: int, deadline: float) -> Iterator[tuple[Settings, Curve]]:
    waiting = iter(wanted)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_single_thread) as pool:
        running = {pool.submit(run, each): each for each in itertools.islice(waiting, jobs)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
                if time.monotonic() < deadline and (following := next(waiting, None)) is not None:
                    running[pool.submit(run, following)] = following


def _single_thread() -> None:
    torch.set_num_threads(1)
