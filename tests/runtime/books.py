"""A second set of books for the ledger, and processes that die at a given store."""

from __future__ import annotations

import os
import weakref
from array import array
from collections import Counter
from contextlib import contextmanager

from titand.clock import SystemClock
from titand.runtime.arena import (
    CANDIDATE,
    EVICTED,
    EXPIRED,
    FILLED,
    FILTERED,
    HELD_OUT,
    INVALID,
    PENDING_LABEL,
    RELEASED,
    SELECTED,
    TRAINED,
    Arena,
    ArenaLayout,
    create_arena,
)
from titand.runtime.ledger import Ledger
from titand.runtime.stream_table import StreamTable

SAMPLE_BYTES = 3
STORED = ("counters", "streams", "journal", "fates", "state", "number", "label", "observed_ns", "accepted_ns", "data")
NEXT = {
    FILLED: (CANDIDATE, HELD_OUT, FILTERED, INVALID),
    CANDIDATE: (SELECTED, EVICTED, INVALID),
    SELECTED: (TRAINED,),
    HELD_OUT: (RELEASED,),
}
COLUMN = {
    PENDING_LABEL: "pending_label",
    EXPIRED: "expired",
    FILLED: "buffered",
    CANDIDATE: "buffered",
    SELECTED: "selected",
    TRAINED: "selected",
    HELD_OUT: "held_out",
    RELEASED: "held_out",
    FILTERED: "filtered",
    EVICTED: "evicted",
    INVALID: "rejected",
}


COLUMNS = tuple(dict.fromkeys(COLUMN.values()))


class Death(BaseException):
    """The process is killed here."""


class Fuse:
    """Burns down by one at each store."""

    def __init__(self, stores: int) -> None:
        self.left = stores

    def burns(self) -> bool:
        self.left -= 1
        return self.left < 0


class Mortal:
    """A view of memory whose owner dies at a store, of which only the first half is made."""

    def __init__(self, view, fuse):
        self.view, self.fuse = view, fuse

    def __getitem__(self, key):
        return self.view[key]

    def __len__(self):
        return len(self.view)

    def __bytes__(self):
        return bytes(self.view)

    def __setitem__(self, key, value):
        if self.fuse.burns():
            if isinstance(key, slice):
                start, stop, _ = key.indices(len(self.view))
                middle = start + (stop - start) // 2
                self.view[start:middle] = value[: middle - start]
            raise Death
        self.view[key] = value


class Clock(SystemClock):
    """Real time, and as much more as a test says; the time of day as somebody sets it."""

    later_ns = 0
    set_ns = 0

    def monotonic_ns(self):
        return super().monotonic_ns() + self.later_ns

    def wall_ns(self):
        return super().wall_ns() + self.later_ns + self.set_ns


def content(number: int) -> bytes:
    return number.to_bytes(SAMPLE_BYTES, "big")


class Books:
    """The arena, a ledger over it, and what an outside observer counts.

    `fate` is by sample number and changes only when a worker acts or an admission is known to have happened.
    """

    pending_count = 3

    def __init__(self, slot_count: int = 6) -> None:
        self.clock = Clock()
        self.descriptor = create_arena(ArenaLayout(slot_count, SAMPLE_BYTES))
        self.filled = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for descriptor in (self.descriptor, self.filled):
            weakref.finalize(self, os.close, descriptor)
        self.arena = Arena(self.descriptor)  # the workers' view
        self.fate: dict[int, int] = {}
        self.labels: dict[int, int] = {}
        self.shed = self.rejected = self.orphans = 0
        self.begin()

    def begin(self, stores: int | None = None) -> None:
        """Start a front: a new ledger over the same memory, which may die after so many stores of its recovery."""
        self.view = Arena(self.descriptor)
        self.fuse = Fuse(10**9 if stores is None else stores)
        for name in STORED:
            setattr(self.view, name, Mortal(getattr(self.view, name), self.fuse))
        self.ledger = Ledger(self.view, self.filled, self.clock, self.pending_count)
        self.fuse.left = 10**9

    @contextmanager
    def dying_after(self, stores: int):
        """Let the front die in the block after so many stores, if there are as many."""
        self.fuse.left = stores
        try:
            yield
        except Death:
            pass
        self.fuse.left = 10**9

    def admit(self, place: int, count: int, is_labelled: bool = True) -> int:
        """Push samples that can be told apart, numbered as they would be if all were accepted."""
        first = self.ledger.newest_number() + 1
        sequence = self.position(place).sequence + 1
        labels = array("i", [number % 7 for number in range(first, first + count)])
        data = b"".join(map(content, range(first, first + count)))
        if not is_labelled:
            labels = array("i", [-1] * count)
        times = memoryview(array("q"))
        runs = self.ledger.admit(place, sequence, memoryview(labels), times, memoryview(data), is_labelled)
        return sum(run[1] for run in runs)

    def position(self, place: int):
        return StreamTable(self.arena.streams).position(place)

    def write_down(self, is_labelled: bool = True, is_alive: bool = True) -> int:
        """Enter into the books what was admitted since, and what had to go for it; return how many came."""
        newest = self.ledger.newest_number()
        new = range(len(self.fate) + 1, newest + 1)
        for number in new:
            self.fate[number], self.labels[number] = FILLED if is_labelled else PENDING_LABEL, number % 7
        waiting = self.pending()
        surplus = waiting[: max(0, len(waiting) - self.pending_count)]
        gone = [self.ledger.fate(number).state == EXPIRED for number in surplus]
        assert gone == sorted(gone, reverse=True)  # oldest first
        if new and is_alive and not is_labelled:  # one that dies on the way leaves some to its successor
            assert all(gone)
        self.fate |= {number: EXPIRED for number, is_gone in zip(surplus, gone, strict=True) if is_gone}
        return len(new)

    def pending(self) -> list[int]:
        """The numbers of the samples that wait for their label, oldest first."""
        return [number for number, state in self.fate.items() if state == PENDING_LABEL]

    def label(self, numbers: list[int]) -> None:
        """Let labels come for these samples, and enter it into the books."""
        waited = [self.fate.get(number) == PENDING_LABEL for number in numbers]
        joined = self.ledger.join(numbers, [number % 7 for number in numbers])
        assert joined == waited
        for number, has_joined in zip(numbers, joined, strict=True):
            if has_joined:
                self.fate[number] = FILLED

    def live(self) -> list[int]:
        return [slot for slot, state in enumerate(self.arena.state) if state in NEXT]

    def work(self, slot: int, choice: int) -> None:
        """Let a worker move the sample in a slot on."""
        new = NEXT[self.arena.state[slot]][choice % len(NEXT[self.arena.state[slot]])]
        self.arena.state[slot] = new
        self.fate[self.arena.number[slot]] = new

    def check(self) -> None:
        """Compare the ledger with the books, and every sample with what was pushed."""
        counts = self.ledger.counts()
        assert counts.is_balanced
        expected = Counter(COLUMN[state] for state in self.fate.values())
        expected["rejected"] += self.rejected
        for column in COLUMNS:
            assert getattr(counts, column) == expected[column], column
        assert counts.orphan_labels == self.orphans
        assert (counts.shed, counts.lost) == (self.shed, 0)
        assert counts.pushed == len(self.fate) + self.shed + self.rejected
        for slot in self.live():
            number = self.arena.number[slot]
            assert bytes(self.arena.sample(slot)) == content(number)
            assert self.arena.label[slot] == self.labels[number]
        for slot in self.arena.slots_in(PENDING_LABEL):
            assert bytes(self.arena.sample(slot)) == content(self.arena.number[slot])
        assert [self.arena.number[slot] for slot in self.arena.slots_in(PENDING_LABEL)] == self.pending()
        numbers = [self.arena.number[slot] for slot in self.live()]
        assert sorted(numbers) == [number for number, state in self.fate.items() if state in NEXT]
