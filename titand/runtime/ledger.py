"""The ledger: what became of every sample, exact at any moment and whatever process dies.

    pushed = shed + rejected + held_out + filtered + evicted + pending_label + buffered + selected + lost + expired

Samples that are in the arena are counted by looking at their state bytes; only those that have left it live in
counters. The counters, the states and a stream's position change together, in a transaction (see `journal.py`).

Only the front opens a ledger. The supervisor and the workers never write here.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from titand.clock import Clock
from titand.errors import Overloaded
from titand.runtime.arena import EXPIRED, FATE_COUNT, FILLED, FREE, PENDING_LABEL, Arena
from titand.runtime.counters import (
    ACCEPTED,
    LOGGED,
    ORPHAN_LABELS,
    PUSHED,
    REJECTED,
    REPLAYED,
    SHED,
    LedgerCounts,
    counts_of,
)
from titand.runtime.journal import Journal
from titand.runtime.keepers import Marks, RecordLog
from titand.runtime.log_records import (
    ADMITTED,
    CORRECTED,
    LABELLED,
    NO_COLUMNS,
    PENDING,
    REFUSED,
    Columns,
    DoorCounts,
    LogRecord,
)
from titand.runtime.pending import PendingLabels
from titand.runtime.replay import Replay
from titand.runtime.slots import Slots
from titand.runtime.stream_table import StreamPosition, StreamTable

_PENDING_SHARE = 4  # of the arena, one part in so many may wait for labels


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
        log: keeps what producers are told of beyond the end of all processes; None where that is not wanted.

    Attributes:
        is_log_full: whether it was the log that had no room for the last samples, and not the arena.
    """

    def __init__(
        self,
        arena: Arena,
        filled: int,
        clock: Clock,
        pending_count: int | None = None,
        log: RecordLog | None = None,
    ) -> None:
        self._arena = arena
        self._filled = filled
        self._clock = clock
        self._streams = StreamTable(arena.streams)
        self._log = log
        self._marks: Marks | None = None
        self._lock = threading.Lock()
        self.is_log_full = False
        self._journal = Journal(arena, self._streams, clock)
        self._slots = Slots(arena, self._journal)
        self._pending = PendingLabels(arena, pending_count or 1 + arena.layout.slot_count // _PENDING_SHARE, clock)
        self._replay = Replay(arena, filled, self._streams, self._journal, self._slots, self._pending)
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
        columns = Columns(labels, observed_ns, data)
        with self._lock:
            done = 0
            while done < len(labels):
                most = len(labels) if is_labelled else done + self._pending.capacity
                state = FILLED if is_labelled else PENDING_LABEL
                taken = self._admit_some(stream, sequence + done, columns.part(done, most), state)
                if taken is None:
                    break
                admitted.append(taken)
                done += taken[1]
        if done and is_labelled:
            os.eventfd_write(self._filled, done)
        return admitted

    def join(self, numbers: Iterable[int], labels: Iterable[int]) -> list[bool]:
        """Give samples that wait for it their label; return which of them did.

        Raises:
            Overloaded: LOG_FULL; nothing was done.
        """
        pairs = list(zip(numbers, labels, strict=True))
        with self._lock:
            self._write_labels(LABELLED, [pair for pair in pairs if pair[0] in self._pending])
            joined = [self._pending.join(number, label) for number, label in pairs]
        if any(joined):
            os.eventfd_write(self._filled, sum(joined))
        return joined

    def note_corrections(self, corrections: Sequence[tuple[int, int]]) -> None:
        """Write down (number, label) of samples whose label was corrected, so that it stays so.

        Raises:
            Overloaded: LOG_FULL.
        """
        with self._lock:
            self._write_labels(CORRECTED, corrections)

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

    def refuse(self, stream: int, sequence: int, rejected: int = 0, shed: int = 0) -> bool:
        """Count samples that were not admitted; `sequence` is the last of them.

        Returns:
            Whether they were: not even of this a log that is full takes note.
        """
        with self._lock:
            counters = list(self._arena.counters)
            counters[PUSHED] += rejected + shed
            counters[REJECTED] += rejected
            counters[SHED] += shed
            old = self._streams.position(stream)
            position = StreamPosition(sequence, old.accepted, old.rejected + rejected, old.shed + shed)
            if not self._write(REFUSED, counters, stream, position):
                return False
            self._journal.commit(counters, [], FREE, stream, position)
            self._note()
            return True

    @property
    def logged(self) -> int:
        """Sequence of the newest record of the log that is part of this arena."""
        return int(self._arena.counters[LOGGED])

    @property
    def replayed_count(self) -> int:
        """Samples that came back out of the log since the daemon started, whichever front put them back."""
        return int(self._arena.counters[REPLAYED])

    def begin_replay(self, corrections: Mapping[int, int]) -> None:
        """Take the labels that came, or were corrected, after their samples were written down, by number."""
        with self._lock:
            self._replay.begin(corrections)

    def replay(self, sequence: int, record: LogRecord) -> bool:
        """Make a change again that was written down before every process died, unless it is part of this arena.

        No stream may be open. What should have come between this record and the last one, and is missing, is counted
        as lost.

        Returns:
            Whether it is made now: else there is no room yet for some of its samples, and it is to be tried again.
        """
        with self._lock:
            return self._replay.make(sequence, record)

    def end_replay(self, sequence: int, reached: tuple[int, int, int] = (0, 0, 0)) -> int:
        """Go on behind the newest record that was written down, even if not all could be read.

        Args:
            sequence: of that record.
            reached: samples that were shed, rejected and accepted before this start, as far as that is known: what
                was accepted and is not here is counted as lost.

        Returns:
            How many these are: none if an earlier front on this memory has counted them.
        """
        with self._lock:
            return self._replay.end(sequence, reached)

    def begin_marks(self, marks: Marks) -> None:
        """Let these know from now on how far numbers are given."""
        with self._lock:
            marks.begin(self._arena.counters)
            self._marks = marks

    def end_marks(self) -> None:
        """Say that no more are given."""
        with self._lock:
            if self._marks is not None:
                self._marks.end(self._arena.counters)

    def free_count(self, most: int | None = None) -> int:
        """Return how many samples could be admitted now; with `most`, counting stops there."""
        return self._slots.free_count(most)

    def counts(self) -> LedgerCounts:
        """Return the ledger of this very moment."""
        with self._lock:
            return counts_of(self._arena)

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
            return self._journal.give_place(stream_id, in_use), StreamPosition()

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
        with self._lock:
            return self._slots.give_back()

    # ---- inside

    def _admit_some(self, stream: int, sequence: int, columns: Columns, state: int) -> tuple[int, int] | None:
        runs = self._slots.find_room(len(columns.labels))
        if not runs:
            return None
        count = sum(count for _, count in runs)
        columns, first, now = columns.part(0, count), self._arena.counters[ACCEPTED] + 1, self._clock.wall_ns()
        counters = list(self._arena.counters)
        counters[PUSHED] += count
        counters[ACCEPTED] += count
        old = self._streams.position(stream)
        position = StreamPosition(sequence + count - 1, old.accepted + count, old.rejected, old.shed)
        kind = ADMITTED if state == FILLED else PENDING
        self.is_log_full = not self._write(kind, counters, stream, position, columns, now)
        if self.is_log_full:
            return None
        self._slots.fill(runs, first, now, columns)
        if self._marks is not None:
            self._marks.allow(counters[ACCEPTED])
        self._journal.commit(counters, runs, state, stream, position)
        self._note()
        if state == PENDING_LABEL:
            self._pending.add(runs)
            self._pending.trim()
        return first, count

    def _note(self) -> None:
        if self._marks is not None:
            self._marks.note(self._arena.counters)

    # ---- the log

    def _write(
        self,
        kind: int,
        counters: list[int],
        stream: int,
        position: StreamPosition,
        columns: Columns = NO_COLUMNS,
        accepted_ns: int = 0,
    ) -> bool:
        """Write a change down before it is made, and note that in its counters; return whether there was room."""
        if self._log is None:
            return True
        counters[LOGGED] += 1
        door = DoorCounts(*(counters[place] for place in (PUSHED, SHED, REJECTED, ACCEPTED, ORPHAN_LABELS)))
        stream_id = self._streams.id_of(stream) if stream >= 0 else ""
        record = LogRecord(kind, door, stream_id, position, accepted_ns, columns)
        return self._log.append(counters[LOGGED], record.encode(), with_samples=kind in (ADMITTED, PENDING))

    def _write_labels(self, kind: int, pairs: Sequence[tuple[int, int]]) -> None:
        if not pairs or self._log is None:
            return
        numbers, labels = zip(*pairs, strict=True)
        columns = Columns(memoryview(array("i", labels)), memoryview(array("q", numbers)), NO_COLUMNS.data)
        counters = list(self._arena.counters)
        if not self._write(kind, counters, -1, StreamPosition(), columns):
            raise Overloaded(
                "LOG_FULL",
                "The log of samples is full; no label was taken.",
                "Send them again, or raise ingest.log_bytes.",
            )
        self._journal.commit(counters, [], FREE, -1, StreamPosition())
