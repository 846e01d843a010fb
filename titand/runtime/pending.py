"""Samples that wait for their label: in the arena, out of the way of the others, for a limited time, and not too many.

They belong to the front alone. Each step of theirs is one byte, so that a front which dies leaves none half-made: a
label is stored before the state that makes it mean something, and `EXPIRED` is an end like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from titand.clock import Clock
from titand.runtime.arena import EXPIRED, FILLED, PENDING_LABEL, Arena


class PendingLabels:
    """Which samples wait, oldest first, and since when. Not thread-safe: the ledger has the lock.

    How long a sample has waited is measured on the monotonic clock, which no setting of the time disturbs. A successor
    knows only when the sample was accepted by the wall clock; where that was set back meanwhile, the wait begins anew.

    Args:
        arena: where they lie; those there already are taken over.
        capacity: most of them, >= 1.
        clock: measures.

    Example:
        >>> from titand.clock import SystemClock
        >>> from titand.runtime.arena import ArenaLayout, create_arena
        >>> arena = Arena(create_arena(ArenaLayout(slot_count=4, sample_bytes=1)))
        >>> pending = PendingLabels(arena, capacity=2, clock=SystemClock())
        >>> arena.state[3], arena.number[3] = PENDING_LABEL, 17
        >>> pending.add([(3, 1)])
        >>> pending.join(17, label=5), pending.join(17, label=5)
        (True, False)
        >>> arena.state[3] == FILLED, arena.label[3]
        (True, 5)
    """

    def __init__(self, arena: Arena, capacity: int, clock: Clock) -> None:
        self._arena = arena
        self.capacity = capacity
        self._clock = clock
        self._waiting: dict[int, tuple[int, int]] = {}  # slot and since when, by number
        self.add((slot, 1) for slot in arena.slots_in(PENDING_LABEL))

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    def add(self, runs: Iterable[tuple[int, int]]) -> None:
        """Note that the samples in these runs (start, count) of slots wait, since they were accepted."""
        arena, now, wall = self._arena, self._clock.monotonic_ns(), self._clock.wall_ns()
        for start, count in runs:
            for slot in range(start, start + count):
                self._waiting[arena.number[slot]] = slot, now - max(0, wall - arena.accepted_ns[slot])

    def join(self, number: int, label: int) -> bool:
        """Give a sample its label and let it go the way of the others; return whether it waited for one."""
        slot, _ = self._waiting.pop(number, (-1, 0))
        if slot < 0:
            return False
        self._arena.label[slot] = label
        self._arena.state[slot] = FILLED
        return True

    def expire(self, patience_seconds: float) -> int:
        """End those that have waited for longer; return how many."""
        since = self._clock.monotonic_ns() - int(patience_seconds * 1e9)
        return self._end([number for number, (_, begun) in self._waiting.items() if begun < since])

    def trim(self) -> int:
        """End the oldest of those that are too many; return how many.

        The oldest and not the newest: whose label was to come has most probably got it by now.
        """
        return self._end(list(islice(self._waiting, max(0, len(self._waiting) - self.capacity))))

    def _end(self, numbers: list[int]) -> int:
        for number in numbers:
            slot, _ = self._waiting.pop(number)
            self._arena.state[slot] = EXPIRED
        return len(numbers)
