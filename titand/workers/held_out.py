"""Samples that are never trained on: chosen at the door, kept class-balanced, asked in small portions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from titand.learning.evaluation import Evaluation, total
from titand.runtime.arena import HELD_OUT, RELEASED, Arena

PORTION = 16  # samples asked per round during a sweep: about a tenth of the candidates' cost


def is_held_out(number: int, ratio: float) -> bool:
    """Tell whether a sample is put aside, from its number alone.

    The same number gives the same answer in every process and after every restart, so nothing that was put aside
    once is trained on later. The mixing is splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014).

    >>> sum(is_held_out(number, 0.05) for number in range(100_000)) / 100_000
    0.04914
    """
    mask = (1 << 64) - 1
    z = (number * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) < ratio * 2**64


@dataclass(frozen=True)
class Sweep:
    """A finished evaluation on all held-out samples.

    Attributes:
        result: counts and what follows from them.
        version: of the parameters that answered the last portion.
    """

    result: Evaluation
    version: int


class HeldOut:
    """The held-out samples, and the sweep over them that is under way.

    They stay in their arena slots. When there are too many, the class with the most gives one up, at random: so
    every class that arrives is represented, and old samples make room for new ones. But slowly, whatever the rate of
    arrivals: what is kept is also the memory by which the guard notices that the model forgets, or is fed garbage.

    Args:
        arena: where they lie; those there already are taken over.
        capacity: most samples kept.
        class_count: C.
        generator: of the choice who makes room.
        rounds: in which as many may be replaced by others of their class as are kept.
    """

    def __init__(self, arena: Arena, capacity: int, class_count: int, generator: random.Random, rounds: int) -> None:
        self._arena = arena
        self._capacity = capacity
        self._generator = generator
        self._per_round = capacity / rounds
        self._allowed = 0.0
        self._slots: list[list[int]] = [[] for _ in range(class_count)]
        for slot in arena.slots_in(HELD_OUT):
            self._slots[arena.label[slot]].append(slot)
        self._pending: list[int] = []
        self._partial: list[Evaluation] = []
        self.latest: Sweep | None = None

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def to_plain(self) -> dict[str, Any]:
        """Return what decides who makes room next; the samples are in the arena."""
        return {"allowed": self._allowed, "generator": self._generator.getstate()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Continue from what `to_plain` gave."""
        version, numbers, gauss = plain["generator"]
        self._allowed = plain["allowed"]
        self._generator.setstate((version, tuple(numbers), gauss))

    def keep(self, slot: int) -> None:
        """Put a filled slot aside; one of the fullest class makes room if need be, or itself leaves at once."""
        self._arena.state[slot] = HELD_OUT
        own = self._slots[self._arena.label[slot]]
        own.append(slot)
        if len(self) > self._capacity:
            fullest = max(self._slots, key=len)
            if len(fullest) > len(own):
                leaving = fullest.pop(self._generator.randrange(len(fullest)))
            elif self._allowed >= 1:
                self._allowed -= 1
                leaving = own.pop(self._generator.randrange(len(own)))
            else:
                leaving = own.pop()
            self._arena.state[leaving] = RELEASED

    def after_round(self) -> None:
        """Allow some more to be replaced by others of their class; what is not used up is kept for a tenth of all."""
        self._allowed = min(self._allowed + self._per_round, max(1.0, self._capacity / 10))

    def relabel(self, slot: int, label: int) -> None:
        """Correct the class of one that is kept. A sweep under way goes on, with what it has counted."""
        self._slots[self._arena.label[slot]].remove(slot)
        self._arena.label[slot] = label
        self._slots[label].append(slot)

    @property
    def is_sweeping(self) -> bool:
        """Whether an evaluation is under way."""
        return bool(self._pending)

    def begin_sweep(self) -> None:
        """Ask all held-out samples anew, portion by portion."""
        self._pending = [slot for slots in self._slots for slot in slots]
        self._partial = []

    def ask_portion(self, ask: Callable[[Sequence[int]], Evaluation], version: int) -> None:
        """Let the model answer the next portion; the last portion of a sweep completes `latest`."""
        portion, self._pending = self._pending[:PORTION], self._pending[PORTION:]
        present = [slot for slot in portion if self._arena.state[slot] == HELD_OUT]
        if present:
            self._partial.append(ask(present))
        if not self._pending and self._partial:
            self.latest = Sweep(total(self._partial), version)
            self._partial = []
