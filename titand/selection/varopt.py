"""A weighted reservoir that can shrink by one at any time and stays an unbiased sample of all it was given."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Kept(NamedTuple):
    """An item of a reservoir.

    Attributes:
        key: the caller's handle.
        size: as it was given, q_i > 0.
        adjusted_size: q~_i >= q_i; the expectation of q~_i, zero when dropped, is q_i.
    """

    key: int
    size: float
    adjusted_size: float

    @property
    def inverse_probability(self) -> float:
        """1 / inclusion probability, a_i = q~_i / q_i."""
        return self.adjusted_size / self.size


class VarOptReservoir:
    """A sample of a stream of sized items, of as many as the caller lets it keep.

    `drop` takes one item out. It finds the threshold t with

        sum_i min(1, q~_i / t) = k - 1

    over its k items, drops item i with probability 1 - min(1, q~_i / t), and gives every survivor the
    adjusted size max(q~_i, t). Hence the sum of all adjusted sizes never changes, each is an unbiased
    estimate of the item's size, and no sampling scheme of the same number of items has a smaller average
    variance of subset sums. Equal sizes give the classical reservoir sample.

    References:
        E. Cohen, N. Duffield, H. Kaplan, C. Lund, M. Thorup, SIAM J. Comput. 40 (2011) 1402-1431.

    Example:
        >>> reservoir = VarOptReservoir()
        >>> for key, size in enumerate([1.0, 1.0, 6.0]):
        ...     reservoir.put(key, size)
        >>> reservoir.drop(uniform=0.7)  # threshold 2: item 0 and item 1 leave with probability 1/2 each
        1
        >>> [(item.key, item.adjusted_size) for item in reservoir]
        [(2, 6.0), (0, 2.0)]
    """

    def __init__(self) -> None:
        self._ticket = itertools.count()  # ties in the heap are broken by age, never by the key
        self._own: list[tuple[float, int, int, float]] = []  # heap: adjusted size, ticket, key, size
        self._level: list[tuple[int, float]] = []  # key, size of those whose adjusted size is the threshold
        self._threshold = 0.0

    def __len__(self) -> int:
        return len(self._own) + len(self._level)

    def __iter__(self) -> Iterator[Kept]:
        for adjusted_size, _, key, size in self._own:
            yield Kept(key, size, adjusted_size)
        for key, size in self._level:
            yield Kept(key, size, self._threshold)

    def put(self, key: int, size: float, adjusted_size: float | None = None) -> None:
        """Add an item of a size above 0; with its adjusted size if it has come through a sample before."""
        heapq.heappush(self._own, (adjusted_size or size, next(self._ticket), key, size))

    def to_plain(self) -> dict[str, Any]:
        """Return everything in it, as numbers."""
        return {"own": [list(item) for item in self._own], "level": self._level, "threshold": self._threshold}

    def restore(self, plain: Mapping[str, Any], key_of: Mapping[int, int]) -> None:
        """Be as the one was that gave `plain`, each key now `key_of` it."""
        self._own = [(adjusted, ticket, key_of[key], size) for adjusted, ticket, key, size in plain["own"]]
        self._level = [(key_of[key], size) for key, size in plain["level"]]
        self._threshold = plain["threshold"]
        self._ticket = itertools.count(1 + max((item[1] for item in self._own), default=-1))

    def drop(self, uniform: float) -> int:
        """Drop one item by chance and return its key.

        Args:
            uniform: a number uniform in [0, 1): the chance.

        Raises:
            IndexError: fewer than two items: what the last one stands for would be lost.
        """
        if len(self) < 2:
            raise IndexError("a reservoir never drops its last item")
        # Gather the items below the new threshold, smallest first; the level is one lump of equal ones.
        own, level = self._own, self._level
        small: list[tuple[float, int, float]] = []
        count, total, merged = 0, 0.0, False
        while True:
            if level and not merged and (not own or self._threshold <= own[0][0]):
                if count > 1 and total <= (count - 1) * self._threshold:
                    break
                merged = True
                count += len(level)
                total += len(level) * self._threshold
            elif own:
                if count > 1 and total <= (count - 1) * own[0][0]:
                    break
                adjusted_size, _, key, size = heapq.heappop(own)
                small.append((adjusted_size, key, size))
                count += 1
                total += adjusted_size
            else:
                break
        threshold = total / (count - 1)
        if level and not merged:  # the level lies above the new threshold: its items are single again
            for key, size in level:
                heapq.heappush(own, (self._threshold, next(self._ticket), key, size))
            level.clear()
        dropped = self._take_out(small, threshold, uniform)
        level.extend((key, size) for _, key, size in small)
        self._threshold = threshold
        return dropped

    def _take_out(self, small: list[tuple[float, int, float]], threshold: float, uniform: float) -> int:
        """Remove one item, of `small` or of the level, each with probability 1 - adjusted size / threshold."""
        for position, (adjusted_size, key, _) in enumerate(small):
            uniform -= 1 - adjusted_size / threshold
            if uniform < 0:
                del small[position]
                return key
        if not self._level:  # rounding left a sliver beyond the last one
            return small.pop()[1]
        # What is left of the chance, spread evenly over the level.
        chance = len(self._level) * (1 - self._threshold / threshold)
        position = min(int(uniform / chance * len(self._level)), len(self._level) - 1) if chance > 0 else 0
        self._level[position], self._level[-1] = self._level[-1], self._level[position]
        return self._level.pop()[0]
