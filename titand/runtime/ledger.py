"""The ledger: what became of every sample, exact at any moment and whatever process dies.

    pushed = shed + rejected + held_out + filtered + evicted + pending_label + buffered + selected + lost + expired

Samples that are in the arena are counted by looking at their state bytes; only those that have left it live in
counters. The counters, the states and a stream's position change together, in a transaction (see `journal.py`).

Only the front opens a ledger. The supervisor and the workers never write here.
"""

from __future__ import annotations

import mmap
import os
import re
import threading
from array import array
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import NamedTuple

from titand.clock import Clock
from titand.runtime.arena import (
    CANDIDATE,
    ENDED,
    EVICTED,
    EXPIRED,
    FATE_COUNT,
    FILLED,
    FILTERED,
    FREE,
    HELD_OUT,
    INVALID,
    PENDING_LABEL,
    RELEASED,
    SELECTED,
    TRAINED,
    Arena,
)
from titand.runtime.journal import MOST_RUNS, Journal
from titand.runtime.pending import PendingLabels
from titand.runtime.stream_table import StreamPosition, StreamTable

# Places of the counters in the arena. Numbers are stored in checkpoints too: never reuse one.
PUSHED, SHED, REJECTED, ACCEPTED, LOST = 0, 1, 2, 3, 4  # and TRANSACTIONS, 5
ENDED_COUNTER = {FILTERED: 6, EVICTED: 7, TRAINED: 8, RELEASED: 9, INVALID: 10, EXPIRED: 11}
ORPHAN_LABELS = 12

_FREE_RUN = re.compile(rb"\x00+")
_WORTH_GIVING = 4  # times more slots touched than used
_PENDING_SHARE = 4  # of the arena, one part in so many may wait for labels
_FREE_BYTE = bytes([FREE])


@dataclass(frozen=True)
class LedgerCounts:
    """Where every sample has gone, by column of the ledger.

    Attributes:
        orphan_labels: labels that found no sample, and so are in no sum.
    """

    pushed: int
    shed: int
    rejected: int
    held_out: int
    filtered: int
    evicted: int
    pending_label: int
    buffered: int
    selected: int
    lost: int
    expired: int
    orphan_labels: int

    @property
    def is_balanced(self) -> bool:
        """Whether the columns add up to what was pushed."""
        pushed, *columns, _ = astuple(self)
        return bool(pushed == sum(columns))


@dataclass(frozen=True)
class Fate:
    """What became of a sample.

    Attributes:
        state: its state in the arena, or the last one that it had there.
        label, accepted_ns: None once it has left the arena, and a label also as long as it has none.
    """

    state: int
    label: int | None = None
    accepted_ns: int | None = None


class Place(NamedTuple):
    """Where a sample is in the arena, and what it is there."""

    slot: int
    state: int
    label: int


class Ledger:
    """Admits samples into the arena, counts refusals, and takes ended slots back. Thread-safe.

    Args:
        arena: the shared memory.
        filled: eventfd that tells the selector how many slots were filled.
        clock: stamps admissions, and measures how long labels are waited for.
        pending_count: most samples that may wait for their label; by default a quarter of the arena.
    """

    def __init__(self, arena: Arena, filled: int, clock: Clock, pending_count: int | None = None) -> None:
        self._arena = arena
        self._filled = filled
        self._clock = clock
        self._streams = StreamTable(arena.streams)
        self._lock = threading.Lock()
        self._touched = 0  # slots from here on have used no memory since it was last given back
        self._journal = Journal(arena, self._streams, clock)
        self._pending = PendingLabels(arena, pending_count or 1 + arena.layout.slot_count // _PENDING_SHARE, clock)
        if FILLED in bytes(arena.state):  # a predecessor may have died before it could say so
            os.eventfd_write(filled, 1)

    # ---- what the front's stream handlers call

    def admit(
        self,
        stream: int,
        sequence: int,
        labels: memoryview[int],
        observed_ns: memoryview[int],
        data: memoryview[int],
        is_labelled: bool = True,
    ) -> list[tuple[int, int]]:
        """Copy samples into free slots, as many of them as there is room for.

        Those without labels wait for them, and where too many do, the oldest of these expire.

        Args:
            stream: place of the stream, see `open_stream`.
            sequence: the stream's position of the first sample.
            labels: [N] int32 class ids.
            observed_ns: [N] int64 nanoseconds since the epoch, or empty.
            data: [N * sample_bytes] bytes.
            is_labelled: whether the labels are there; else they come later, see `join`.

        Returns:
            Runs (first number, count) of admitted samples: the first of the N, in order. The others were not touched.
        """
        admitted: list[tuple[int, int]] = []
        with self._lock:
            done = 0
            while done < len(labels):
                most = len(labels) if is_labelled else done + self._pending.capacity
                taken = self._admit_some(
                    stream,
                    sequence + done,
                    labels[done:most],
                    observed_ns[done:most],
                    data[done * self._arena.layout.sample_bytes :],
                    FILLED if is_labelled else PENDING_LABEL,
                )
                if taken is None:
                    break
                admitted.append(taken)
                done += taken[1]
        if done and is_labelled:
            os.eventfd_write(self._filled, done)
        return admitted

    def join(self, numbers: Iterable[int], labels: Iterable[int]) -> list[bool]:
        """Give samples that wait for it their label; return which of them did."""
        with self._lock:
            joined = [self._pending.join(number, label) for number, label in zip(numbers, labels, strict=True)]
        if any(joined):
            os.eventfd_write(self._filled, sum(joined))
        return joined

    def expire(self, patience_seconds: float) -> int:
        """End the samples whose label has not come for so long; return how many."""
        with self._lock:
            return self._pending.expire(patience_seconds)

    def places(self, numbers: Iterable[int]) -> dict[int, Place]:
        """Return where these samples are at this moment, of those that have not left the arena."""
        arena, wanted = self._arena, frozenset(numbers)
        with self._lock:
            return {
                number: Place(slot, arena.state[slot], arena.label[slot])
                for slot, number in enumerate(arena.number.tolist())
                if number in wanted and arena.state[slot] != FREE
            }

    def count_orphans(self, labels: int) -> None:
        """Count labels that found no sample."""
        with self._lock:
            counters = list(self._arena.counters)
            counters[ORPHAN_LABELS] += labels
            self._journal.commit(counters, [], FREE, -1, StreamPosition())

    def refuse(self, stream: int, sequence: int, rejected: int = 0, shed: int = 0) -> None:
        """Count samples that were not admitted; `sequence` is the last of them."""
        with self._lock:
            counters = list(self._arena.counters)
            counters[PUSHED] += rejected + shed
            counters[REJECTED] += rejected
            counters[SHED] += shed
            old = self._streams.position(stream)
            position = StreamPosition(sequence, old.accepted, old.rejected + rejected, old.shed + shed)
            self._journal.commit(counters, [], FREE, stream, position)

    def free_count(self, most: int | None = None) -> int:
        """Return how many samples could be admitted now; with `most`, counting stops there."""
        state = bytes(self._arena.state)
        free = state.count(FREE)
        if most is not None and free >= most:
            return most
        free += sum(map(state.count, ENDED_COUNTER))
        return free if most is None else min(free, most)

    def counts(self) -> LedgerCounts:
        """Return the ledger of this very moment."""
        with self._lock:
            return self._counts()

    def open_stream(self, stream_id: str, in_use: frozenset[int]) -> tuple[int, StreamPosition]:
        """Find or make the place of a stream; the one unused for longest is given away.

        Args:
            stream_id: of the producer; empty for a stream that is not to be resumed.
            in_use: places of streams that are open now.

        Returns:
            Its place, and how far it is settled.

        Raises:
            LookupError: every place is in use.
        """
        table = self._streams
        with self._lock:
            known = table.find(stream_id, in_use)
            if known is not None:
                return known, table.position(known)
            place = table.least_needed(in_use)
            table.name(place, "")  # first nobody's, then empty, then the new one's
            self._journal.commit(list(self._arena.counters), [], FREE, place, StreamPosition())
            table.name(place, stream_id)
            return place, StreamPosition()

    def fate(self, number: int) -> Fate | None:
        """Return what became of a sample; None if that is forgotten or the number was never given."""
        with self._lock:
            if not 0 < number <= self._arena.counters[ACCEPTED]:
                return None
            for slot in range(self._arena.layout.slot_count):
                if self._arena.number[slot] == number and (state := self._arena.state[slot]) != FREE:
                    label = None if state in (PENDING_LABEL, EXPIRED) else self._arena.label[slot]
                    return Fate(state, label, self._arena.accepted_ns[slot])
            if number <= self._arena.counters[ACCEPTED] - FATE_COUNT:
                return None
            state = self._arena.fates[number % FATE_COUNT]
            return Fate(state) if state != FREE else None

    def newest_number(self) -> int:
        """Return the number of the sample admitted last; 0 before the first."""
        return int(self._arena.counters[ACCEPTED])

    def give_back(self) -> int:
        """Return the memory behind free slots to the system, if most of what was used is free; return the bytes.

        So a backlog, such as the one that gathers while torch is being imported, costs memory only while it is there.
        """
        arena, size = self._arena, self._arena.layout.sample_bytes
        with self._lock:
            self._reclaim()
            used = arena.layout.slot_count - bytes(arena.state).count(FREE)
            if self._touched < _WORTH_GIVING * max(1, used):
                return 0
            given = 0
            for match in _FREE_RUN.finditer(bytes(arena.state)):
                start = -(-(arena.data_offset + match.start() * size) // mmap.PAGESIZE) * mmap.PAGESIZE
                stop = (arena.data_offset + match.end() * size) // mmap.PAGESIZE * mmap.PAGESIZE
                if start < stop:
                    arena.memory.madvise(mmap.MADV_REMOVE, start, stop - start)
                    given += stop - start
            self._touched = 0
            return given

    # ---- inside

    def _admit_some(
        self,
        stream: int,
        sequence: int,
        labels: memoryview[int],
        observed_ns: memoryview[int],
        data: memoryview[int],
        state: int,
    ) -> tuple[int, int] | None:
        arena, size = self._arena, self._arena.layout.sample_bytes
        runs = self._free_runs(len(labels))
        if not runs or sum(runs[-1]) > self._touched:  # ended slots again, rather than pages that were never used
            self._reclaim()
            runs = self._free_runs(len(labels))
            if not runs:
                return None
        self._touched = max(self._touched, sum(runs[-1]))
        first = arena.counters[ACCEPTED] + 1
        now = self._clock.wall_ns()
        done = 0
        for start, count in runs:
            stop = start + count
            arena.data[start * size : stop * size] = data[done * size : (done + count) * size]
            arena.number[start:stop] = _numbers(first + done, count)
            arena.label[start:stop] = labels[done : done + count]
            arena.observed_ns[start:stop] = observed_ns[done : done + count] if observed_ns else _same(0, count)
            arena.accepted_ns[start:stop] = _same(now, count)
            done += count
        counters = list(arena.counters)
        counters[PUSHED] += done
        counters[ACCEPTED] += done
        old = self._streams.position(stream)
        position = StreamPosition(sequence + done - 1, old.accepted + done, old.rejected, old.shed)
        self._journal.commit(counters, runs, state, stream, position)
        if state == PENDING_LABEL:
            self._pending.add(first, runs)
            self._pending.trim()
        return first, done

    def _free_runs(self, wanted: int) -> list[tuple[int, int]]:
        # From the lowest slot: a slow stream then touches few pages.
        runs: list[tuple[int, int]] = []
        stop = 0
        while wanted > 0 and len(runs) < MOST_RUNS and (start := self._arena.find_free(stop)) >= 0:
            ahead = bytes(self._arena.state[start : start + wanted])
            count = len(ahead) - len(ahead.lstrip(_FREE_BYTE))
            runs.append((start, count))
            wanted -= count
            stop = start + count
        return runs

    def _reclaim(self) -> None:
        arena = self._arena
        while True:
            state = bytes(arena.state)
            runs = []
            counters = list(arena.counters)
            for match in ENDED.finditer(state):
                runs.append((match.start(), match.end() - match.start()))
                for slot in range(*match.span()):
                    counters[ENDED_COUNTER[state[slot]]] += 1
                    # One that stayed long, held out, must not speak for a younger one.
                    if arena.number[slot] > counters[ACCEPTED] - FATE_COUNT:
                        arena.fates[arena.number[slot] % FATE_COUNT] = state[slot]
                if len(runs) == MOST_RUNS:
                    break
            if not runs:
                return
            self._journal.commit(counters, runs, FREE, -1, StreamPosition())

    def _counts(self) -> LedgerCounts:
        state = bytes(self._arena.state)
        gone = self._arena.counters

        def ended(code: int) -> int:
            return int(gone[ENDED_COUNTER[code]]) + state.count(code)

        return LedgerCounts(
            pushed=gone[PUSHED],
            shed=gone[SHED],
            rejected=gone[REJECTED] + ended(INVALID),
            held_out=state.count(HELD_OUT) + ended(RELEASED),
            filtered=ended(FILTERED),
            evicted=ended(EVICTED),
            pending_label=state.count(PENDING_LABEL),
            buffered=state.count(FILLED) + state.count(CANDIDATE),
            selected=state.count(SELECTED) + ended(TRAINED),
            lost=gone[LOST],
            expired=ended(EXPIRED),
            orphan_labels=gone[ORPHAN_LABELS],
        )


def _numbers(first: int, count: int) -> array[int]:
    return array("q", range(first, first + count))


def _same(value: int, count: int) -> array[int]:
    return array("q", [value]) * count
