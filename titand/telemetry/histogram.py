"""A histogram of durations: constant memory, under a microsecond a record, merged by adding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import frexp
from typing import Any

SMALLEST_SECONDS = 2.0**-20  # 0.95 us: shorter durations share the first bucket
OCTAVES = 30  # up to 2^10 s = 17 minutes: longer ones share the last bucket
STEPS = 16  # buckets in an octave: a quantile is off by less than 1/32 of itself

_FIRST_EXPONENT = int(math.log2(SMALLEST_SECONDS)) + 1  # frexp(x) = (m, e) with x = m 2^e, 0.5 <= m < 1
_BUCKETS = OCTAVES * STEPS
_SCALE = 2 * STEPS
_OFFSET = STEPS + _FIRST_EXPONENT * STEPS


class Histogram:
    """Counts durations in buckets whose width grows with the duration.

    An octave [2^k, 2^(k+1)) has `STEPS` buckets of equal width, so the middle of a bucket is within
    1/(2 STEPS) = 3.1 % of every duration in it. Count, sum, least and most are exact.

    Example:
        >>> latency = Histogram()
        >>> for millisecond in range(1, 101):
        ...     latency.record(millisecond / 1000)
        >>> latency.count, round(latency.quantile(0.5), 4), latency.quantile(1.0)
        (100, 0.0498, 0.1)
        >>> Histogram.from_plain(latency.to_plain()).quantile(0.5) == latency.quantile(0.5)
        True
    """

    __slots__ = ("_counts", "max_seconds", "min_seconds", "sum_seconds")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.sum_seconds = 0.0
        self.min_seconds = math.inf
        self.max_seconds = 0.0

    def record(self, seconds: float) -> None:
        """Count one duration.

        Raises:
            ValueError: a duration below zero, infinite or NaN: the clock it came from is wrong.
        """
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"not a duration: {seconds} s")
        mantissa, exponent = frexp(seconds)
        # Both terms at once: octave * STEPS + floor((mantissa - 1/2) * 2 STEPS).
        bucket = exponent * STEPS + int(mantissa * _SCALE) - _OFFSET
        if seconds < SMALLEST_SECONDS:
            bucket = 0
        elif bucket >= _BUCKETS:
            bucket = _BUCKETS - 1
        self._counts[bucket] += 1
        self.sum_seconds += seconds
        if seconds < self.min_seconds:
            self.min_seconds = seconds
        if seconds > self.max_seconds:
            self.max_seconds = seconds

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self._counts)

    def quantile(self, ratio: float) -> float | None:
        """Return the duration that this share of all does not exceed, in seconds; None when there are none.

        The smallest recorded duration d such that at least ratio * count are <= d, to within 1/32 of d.
        0 and 1 give the least and the most, exactly.

        Args:
            ratio: 0 to 1.
        """
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, not at {ratio}")
        count = self.count
        if count == 0:
            return None
        rank = max(1, math.ceil(ratio * count))
        if rank == count:
            return self.max_seconds
        if ratio == 0.0:
            return self.min_seconds
        seen = 0
        for bucket, number in enumerate(self._counts):
            seen += number
            if seen >= rank:
                return min(max(_middle(bucket), self.min_seconds), self.max_seconds)
        return self.max_seconds

    def merge(self, other: Histogram) -> None:
        """Add another histogram's durations to this one."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.sum_seconds += other.sum_seconds
        self.min_seconds = min(self.min_seconds, other.min_seconds)
        self.max_seconds = max(self.max_seconds, other.max_seconds)

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold: filled buckets by number, and the exact figures."""
        if self.count == 0:
            return {"buckets": {}, "sum_seconds": 0.0}
        return {
            "buckets": {str(bucket): number for bucket, number in enumerate(self._counts) if number},
            "sum_seconds": self.sum_seconds,
            "min_seconds": self.min_seconds,
            "max_seconds": self.max_seconds,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Histogram:
        """Build a histogram from what `to_plain` gave.

        Raises:
            ValueError: a bucket or a count that no histogram has.
        """
        histogram = cls()
        for text, number in plain["buckets"].items():
            if not 0 <= int(text) < _BUCKETS or number < 0:
                raise ValueError(f"no histogram has {number} durations in bucket {text}")
            histogram._counts[int(text)] = number
        histogram.sum_seconds = plain["sum_seconds"]
        histogram.min_seconds = plain.get("min_seconds", math.inf)
        histogram.max_seconds = plain.get("max_seconds", 0.0)
        return histogram


def _middle(bucket: int) -> float:
    octave, step = divmod(bucket, STEPS)
    return SMALLEST_SECONDS * 2.0**octave * (1 + (step + 0.5) / STEPS)
