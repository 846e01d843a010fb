"""Exact enumeration of chance: a function of one uniform number takes finitely many values, each on an interval."""

from collections.abc import Callable, Iterator
from typing import TypeVar

Outcome = TypeVar("Outcome")

RESOLUTION = 1e-12


def outcomes(
    function: Callable[[float], Outcome], low: float = 0.0, high: float = 1.0 - RESOLUTION
) -> Iterator[tuple[float, Outcome]]:
    """Yield (length, value) of each interval on which `function` is constant, found by bisection.

    Needs each value to be taken on a single interval, which drops by chance do: they scan their items once.
    """
    first, last = function(low), function(high)
    while first != last:
        end, start = low, high
        while start - end > RESOLUTION:
            middle = (end + start) / 2
            end, start = (middle, start) if function(middle) == first else (end, middle)
        yield start - low, first
        low, first = start, function(start)
    yield high - low, last
