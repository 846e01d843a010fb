"""How long each of the front's own stages takes."""

from __future__ import annotations

import threading
from typing import Any

from titand.telemetry.histogram import Histogram


class Stages:
    """One histogram per stage, shared by all streams."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._histograms: dict[str, Histogram] = {}

    def record(self, stage: str, nanoseconds: int) -> None:
        """Count one passage through a stage."""
        with self._lock:
            self._histograms.setdefault(stage, Histogram()).record(nanoseconds / 1e9)

    def to_plain(self) -> dict[str, Any]:
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
