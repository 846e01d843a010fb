"""How long each stage of a worker takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from titand.clock import Clock
from titand.telemetry.histogram import Histogram


class Stages:
    """One histogram per stage, made when the stage is first measured."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._histograms: dict[str, Histogram] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure what happens inside."""
        start = self._clock.monotonic_ns()
        yield
        self.record(stage, (self._clock.monotonic_ns() - start) / 1e9)

    def record(self, stage: str, seconds: float) -> None:
        """Count one duration."""
        self._histograms.setdefault(stage, Histogram()).record(max(0.0, seconds))

    def report(self) -> dict[str, dict[str, Any]]:
        """Return count and quantiles in seconds of each stage, for a board."""
        return {
            stage: {
                "count": histogram.count,
                "p50": histogram.quantile(0.5),
                "p95": histogram.quantile(0.95),
                "p99": histogram.quantile(0.99),
                "max": histogram.max_seconds,
            }
            for stage, histogram in self._histograms.items()
        }
