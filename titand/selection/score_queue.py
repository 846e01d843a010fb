"""The priority queue of the paper: the samples of highest score, whatever their class."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from titand.selection.varopt import Kept


class ScoreQueue:
    """Keeps the `capacity` items of highest score; the older one goes first where scores are equal.

    Which items are kept is no random sample, so no weight makes an estimate from them unbiased. Each is
    taken to stand for n_y / k_y arrivals of its class, as if it were; a class with nothing kept is lost.

    Example:
        >>> queue = ScoreQueue(capacity=1)
        >>> queue.put(7, stratum=0, size=2.5)
        >>> queue.put(8, stratum=0, size=1.5)
        >>> queue.shed(uniform=0.5)
        8
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.clear()

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[tuple[int, Kept]]:
        kept = Counter(stratum for _, _, stratum, _ in self._heap)
        for _, _, stratum, key in self._heap:
            yield stratum, Kept(key, 1.0, self._arrived[stratum] / kept[stratum])

    @property
    def is_full(self) -> bool:
        """Whether more is in it than it should hold."""
        return len(self._heap) > self.capacity

    def clear(self) -> None:
        """Forget all items and all that arrived."""
        self._ticket = itertools.count()
        self._heap: list[tuple[float, int, int, int]] = []
        self._arrived: Counter[int] = Counter()

    def to_plain(self) -> dict[str, Any]:
        """Return everything in it, as numbers."""
        return {"heap": [list(item) for item in self._heap], "arrived": list(self._arrived.items())}

    def restore(self, plain: Mapping[str, Any], key_of: Mapping[int, int]) -> None:
        """Be as the one was that gave `plain`, but for the capacity; each key is now `key_of` it."""
        self._heap = [(score, ticket, stratum, key_of[key]) for score, ticket, stratum, key in plain["heap"]]
        self._arrived = Counter(dict(plain["arrived"]))
        self._ticket = itertools.count(1 + max((item[1] for item in self._heap), default=-1))

    def put(self, key: int, stratum: int, size: float) -> None:
        """Add an item whose score is `size`."""
        heapq.heappush(self._heap, (size, next(self._ticket), stratum, key))
        self._arrived[stratum] += 1

    def shed(self, uniform: float) -> int:
        """Drop the item of lowest score and return its key; nothing is left to chance."""
        del uniform
        return heapq.heappop(self._heap)[3]
