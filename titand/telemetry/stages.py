"""How long each stage of a process takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from titand.clock import Clock
from titand.telemetry.histogram import Histogram


class Stages:
    """One histogram per stage, made when the stage is first measured. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._histograms: dict[str, Histogram] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure what happens inside."""
        start = self._clock.monotonic_ns()
        yield
        self.record(stage, self._clock.monotonic_ns() - start)

    def record(self, stage: str, nanoseconds: int) -> None:
        """Count one passage through a stage."""
        with self._lock:
            self._histograms.setdefault(stage, Histogram()).record(max(0, nanoseconds) / 1e9)

    def to_plain(self) -> dict[str, dict[str, Any]]:
        """Return count and quantiles in seconds, by stage."""
        with self._lock:
            return {stage: _plain(histogram) for stage, histogram in self._histograms.items()}


def _plain(histogram: Histogram) -> dict[str, Any]:
    return {
        "count": histogram.count,
        "p50": histogram.quantile(0.5),
        "p95": histogram.quantile(0.95),
        "p99": histogram.quantile(0.99),
        "max": histogram.max_seconds,
    }
