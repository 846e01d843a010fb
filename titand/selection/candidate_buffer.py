"""The bounded set of a window's candidates: one VarOpt reservoir per stratum, kept to its share of the slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from titand.selection.varopt import Kept, VarOptReservoir


class CandidateBuffer:
    """Keeps the sizes of its strata in proportion to what arrived, by dropping from the most crowded one.

    The share of stratum y in a full buffer is C Q_y / Q, with Q_y the sum of the sizes that arrived. What
    every stratum keeps is unbiased for its own total, exactly. Only when there are more strata than slots is
    one dropped whole: by the same rule over all that is left, so that the estimate over strata stays unbiased.

    Args:
        capacity: slots, C >= 1; may be set at any time, takes effect with the next `shed`.

    Example:
        >>> buffer = CandidateBuffer(capacity=2)
        >>> for key, stratum in enumerate([0, 0, 1]):
        ...     buffer.put(key, stratum, size=1.0)
        >>> buffer.is_full, buffer.shed(uniform=0.2)  # both of stratum 0 have the same chance to go
        (True, 0)
        >>> [(stratum, item.key, item.inverse_probability) for stratum, item in buffer]
        [(0, 1, 2.0), (1, 2, 1.0)]
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.clear()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, Kept]]:
        for stratum, reservoir in self._reservoir.items():
            for item in reservoir:
                yield stratum, item

    @property
    def is_full(self) -> bool:
        """Whether more is in it than it should hold."""
        return self._length > self.capacity

    def clear(self) -> None:
        """Forget all items and all that arrived."""
        self._reservoir: dict[int, VarOptReservoir] = {}
        self._arrived: dict[int, float] = {}
        self._arrived_total = 0.0
        self._length = 0

    def to_plain(self) -> dict[str, Any]:
        """Return everything in it, as numbers; strata in the order in which they came, which decides between equals."""
        return {
            "strata": [[stratum, reservoir.to_plain()] for stratum, reservoir in self._reservoir.items()],
            "arrived": list(self._arrived.items()),
            "arrived_total": self._arrived_total,
        }

    def restore(self, plain: Mapping[str, Any], key_of: Mapping[int, int]) -> None:
        """Be as the one was that gave `plain`, but for the capacity; each key is now `key_of` it."""
        self.clear()
        for stratum, inside in plain["strata"]:
            self._reservoir[stratum] = reservoir = VarOptReservoir()
            reservoir.restore(inside, key_of)
            self._length += len(reservoir)
        self._arrived = dict(plain["arrived"])
        self._arrived_total = plain["arrived_total"]

    def put(self, key: int, stratum: int, size: float) -> None:
        """Add an item of a size above 0."""
        reservoir = self._reservoir.get(stratum)
        if reservoir is None:
            reservoir = self._reservoir[stratum] = VarOptReservoir()
        reservoir.put(key, size)
        self._arrived[stratum] = self._arrived.get(stratum, 0.0) + size
        self._arrived_total += size
        self._length += 1

    def shed(self, uniform: float) -> int:
        """Drop one item by chance, from the stratum most above its share, and return its key."""
        per_size = self.capacity / self._arrived_total
        arrived = self._arrived
        most, crowded = 0.0, None
        for stratum, reservoir in self._reservoir.items():
            length = len(reservoir)
            excess = length - per_size * arrived[stratum]
            if length > 1 and (crowded is None or excess > most):
                most, crowded = excess, reservoir
        self._length -= 1
        return self._drop_stratum(uniform) if crowded is None else crowded.drop(uniform)

    def _drop_stratum(self, uniform: float) -> int:
        """Every stratum is down to one item: drop one of these, with all that it stands for."""
        pool = VarOptReservoir()
        home: dict[int, tuple[int, float]] = {}
        for stratum, (item,) in self._reservoir.items():
            pool.put(item.key, item.adjusted_size)
            home[item.key] = stratum, item.size
        dropped = pool.drop(uniform)
        self._reservoir = {home[item.key][0]: _alone(item, home[item.key][1]) for item in pool}
        return dropped


def _alone(item: Kept, size: float) -> VarOptReservoir:
    reservoir = VarOptReservoir()
    reservoir.put(item.key, size, item.adjusted_size)
    return reservoir
