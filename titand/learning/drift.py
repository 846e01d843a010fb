"""Whether the stream has changed: the error on arrivals, before they are trained on, rises and stays up."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ALIKE = 5  # buckets of a size before the two oldest become one of the next
_FALSE_ALARM = 1e-3  # the delta of ADWIN: of all cuts at one moment


@dataclass
class _Bucket:
    """Neighbouring values in sum: how many, their sum, and that of their squares."""

    count: int
    total: float
    squares: float

    def __add__(self, other: _Bucket) -> _Bucket:
        return _Bucket(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        return self.total / self.count


@dataclass(frozen=True)
class Rise:
    """A change for the worse.

    Attributes:
        before: mean error of the values that were dropped.
        after: mean error since.
        count: values since.
    """

    before: float
    after: float
    count: int


class Drift:
    """ADWIN over error shares: the window grows while its parts agree, and drops its older part where they do not.

    For each cut into an older part of n0 values and a newer of n1, with means u0 and u1, s2 the variance of all n, and
    1 / m = 1 / n0 + 1 / n1, the parts disagree when

        |u1 - u0| - margin >= sqrt(2 / m s2 ln(2 / d)) + 2 / (3 m) ln(2 / d),  d = 0.001 / ln n.

    Only a rise is told: a model that learns makes the error fall all the time. Sums over an exponential histogram hold
    the window, about 5 log2(n / 5) of them.

    Args:
        margin: rise of the error that does not matter.

    References:
        A. Bifet, R. Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007, 443-448: ADWIN2.

    >>> drift = Drift(margin=0.05)
    >>> told = [drift.observe(error) for error in [0.1] * 200 + [0.6] * 30]
    >>> next(i for i, rise in enumerate(told) if rise) - 200
    22
    """

    def __init__(self, margin: float) -> None:
        self.margin = margin
        self._buckets: list[_Bucket] = []  # oldest first

    @property
    def mean(self) -> float | None:
        """Mean error since the last change; None before the first value."""
        return sum(self._buckets, _Bucket(0, 0.0, 0.0)).mean if self._buckets else None

    def observe(self, error: float) -> Rise | None:
        """Take the share of wrong answers among some arrivals, in [0, 1]; tell of a rise when it becomes certain."""
        self._buckets.append(_Bucket(1, error, error * error))
        self._compress()
        rise = None
        while (cut := self._cut()) is not None:
            older, newer = self._parts(cut)
            del self._buckets[:cut]
            if newer.mean > older.mean:
                rise = Rise(older.mean if rise is None else rise.before, newer.mean, newer.count)
        return rise

    def _compress(self) -> None:
        size, end = 1, len(self._buckets)
        while True:
            begin = end
            while begin > 0 and self._buckets[begin - 1].count == size:
                begin -= 1
            if end - begin <= _ALIKE:
                return
            self._buckets[begin : begin + 2] = [self._buckets[begin] + self._buckets[begin + 1]]
            size, end = 2 * size, begin + 1

    def _parts(self, cut: int) -> tuple[_Bucket, _Bucket]:
        nothing = _Bucket(0, 0.0, 0.0)
        return sum(self._buckets[:cut], nothing), sum(self._buckets[cut:], nothing)

    def _cut(self) -> int | None:
        """Return before which bucket the older part ends, for the first cut whose parts disagree."""
        everything = sum(self._buckets, _Bucket(0, 0.0, 0.0))
        if everything.count < 2:
            return None
        variance = max(0.0, everything.squares / everything.count - everything.mean**2)
        surprise = math.log(2 * max(1.0, math.log(everything.count)) / _FALSE_ALARM)
        older = _Bucket(0, 0.0, 0.0)
        for cut, bucket in enumerate(self._buckets[:-1], start=1):
            older = older + bucket
            newer_count = everything.count - older.count
            newer_mean = (everything.total - older.total) / newer_count
            share = 1 / older.count + 1 / newer_count
            bound = math.sqrt(2 * share * variance * surprise) + 2 / 3 * share * surprise
            if abs(newer_mean - older.mean) - self.margin >= bound:
                return cut
        return None
