"""Whether something grows: the slope of a series with its interval, which no single outlier moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

NORMAL_95 = 1.96
MOST_PAIRS = 200_000


class Slope(NamedTuple):
    """A slope per second, and the interval that holds it with 95 per cent certainty."""

    middle: float
    low: float
    high: float

    def is_below(self, bound: float) -> bool:
        """Whether this is no growth: it may well be none at all, or is less than matters."""
        return self.low <= 0.0 or self.middle <= bound

    def per_hour(self) -> str:
        """Return it in words."""
        return f"{3600 * self.middle:+9.2f} [{3600 * self.low:+9.2f}, {3600 * self.high:+9.2f}]"


def slope_of(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """Return the median of the slopes of all pairs of points, with its interval.

        C = 1.96 sqrt(n (n-1) (2n+5) / 18),  interval: the slopes of rank (N - C) / 2 and (N + C) / 2

    Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63 (1968). Readings that
    follow each other closely are alike, which makes the interval narrower than it should be: to be sure of what it
    calls growth, the series has to be long.

    >>> slope_of([0, 1, 2, 3], [5.0, 7.0, 9.0, 11.0])
    Slope(middle=2.0, low=2.0, high=2.0)
    """
    points = list(zip(seconds, values, strict=True))
    step = max(1, math.ceil(len(points) / math.isqrt(2 * MOST_PAIRS)))
    points = points[::step]
    count = len(points)
    slopes = sorted((v - u) / (t - s) for (s, u), (t, v) in itertools.combinations(points, 2))
    middle = (slopes[(len(slopes) - 1) // 2] + slopes[len(slopes) // 2]) / 2
    reach = NORMAL_95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Slope(middle, slopes[low], slopes[high])
