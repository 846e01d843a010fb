"""Changes that were written down before every process died are made again, once, in order."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping

from titand.runtime.arena import CANDIDATE, FILLED, FREE, HELD_OUT, PENDING_LABEL, SELECTED, Arena
from titand.runtime.counters import ACCEPTED, LOGGED, LOST, ORPHAN_LABELS, PUSHED, REJECTED, REPLAYED, SETTLED, SHED
from titand.runtime.journal import Journal
from titand.runtime.log_records import ADMITTED, LABELLED, LogRecord
from titand.runtime.pending import PendingLabels
from titand.runtime.slots import Slots
from titand.runtime.stream_table import StreamPosition, StreamTable


class Replay:
    """Makes changes again. Not thread-safe: the ledger has the lock.

    Args:
        arena: to be changed.
        filled: eventfd that tells the selector how many slots were filled.
        streams, journal, slots, pending: of that arena.
    """

    def __init__(
        self, arena: Arena, filled: int, streams: StreamTable, journal: Journal, slots: Slots, pending: PendingLabels
    ) -> None:
        self._arena = arena
        self._filled = filled
        self._streams = streams
        self._journal = journal
        self._slots = slots
        self._pending = pending
        self._corrections: Mapping[int, int] = {}

    def begin(self, corrections: Mapping[int, int]) -> None:
        """Take the labels that came, or were corrected, after their samples were written down, by number.

        They come back with them: once a sample is filled it is the selector's, and nobody else corrects it. Of those
        that a checkpoint has brought back none is a worker's yet; a later front finds them corrected.
        """
        self._corrections = corrections
        for state in (FILLED, CANDIDATE, SELECTED, HELD_OUT):
            for slot in self._arena.slots_in(state):
                if (number := self._arena.number[slot]) in corrections:  # and nothing else: workers may run already
                    self._arena.label[slot] = corrections[number]

    def make(self, sequence: int, record: LogRecord) -> bool:
        """Make a change unless it is part of the arena; return whether it is made, or must wait for room."""
        counters = self._arena.counters
        if sequence <= counters[LOGGED]:
            return True
        count = record.sample_count
        before = record.counts.accepted - count
        self._count_lost(before - counters[ACCEPTED])  # records between this one and the last are missing
        while (done := counters[ACCEPTED] - before) < count:
            if not self._put_back(record, done):
                return False
        if record.kind == LABELLED:
            self._label(record)
        place = -1
        if record.stream_id:
            known = self._streams.find(record.stream_id, frozenset())
            place = self._journal.give_place(record.stream_id, frozenset()) if known is None else known
        after = list(counters)
        after[SHED], after[REJECTED] = record.counts.shed, record.counts.rejected
        after[ORPHAN_LABELS], after[LOGGED] = record.counts.orphans, sequence
        after[PUSHED] = after[SHED] + after[REJECTED] + after[ACCEPTED]
        self._journal.commit(after, [], FREE, place, record.position)
        return True

    def end(self, sequence: int, reached: tuple[int, int, int]) -> int:
        """Go on behind this record; return how many samples are lost. See `Ledger.end_replay`."""
        self._add(max(0, sequence - self._arena.counters[LOGGED]), LOGGED)
        if self._arena.counters[SETTLED]:
            return 0
        shed, rejected, accepted = reached
        lost = max(0, accepted - self._arena.counters[ACCEPTED])
        self._count_lost(lost)
        counters = list(self._arena.counters)
        counters[SHED], counters[REJECTED] = max(counters[SHED], shed), max(counters[REJECTED], rejected)
        counters[PUSHED] = counters[SHED] + counters[REJECTED] + counters[ACCEPTED]
        counters[SETTLED] = 1
        self._journal.commit(counters, [], FREE, -1, StreamPosition())
        return lost

    def _count_lost(self, count: int) -> None:
        """Count samples as lost that were given the next numbers."""
        if count > 0:
            self._add(count, PUSHED, ACCEPTED, LOST)

    def _add(self, count: int, *places: int) -> None:
        counters = list(self._arena.counters)
        for place in places:
            counters[place] += count
        self._journal.commit(counters, [], FREE, -1, StreamPosition())

    def _put_back(self, record: LogRecord, done: int) -> bool:
        """Admit some more samples of a record, of which so many are in already; return whether there was room."""
        first, runs = self._arena.counters[ACCEPTED] + 1, self._slots.find_room(record.sample_count - done)
        if not runs:
            return False
        count = sum(count for _, count in runs)
        columns = record.columns.part(done, done + count)
        labels = array("i", columns.labels)
        for place, number in enumerate(range(first, first + count)):
            labels[place] = self._corrections.get(number, labels[place])
        self._slots.fill(runs, first, record.accepted_ns, columns._replace(labels=memoryview(labels)))
        counters = list(self._arena.counters)
        counters[PUSHED] += count
        counters[ACCEPTED] += count
        counters[REPLAYED] += count
        state = FILLED if record.kind == ADMITTED else PENDING_LABEL
        self._journal.commit(counters, runs, state, -1, StreamPosition())
        if state == PENDING_LABEL:
            self._pending.add(runs)
            for number in range(first, first + count):
                if number in self._corrections:  # its label came, so it was never pushed out
                    self._pending.join(number, self._corrections[number])
            self._pending.trim()  # the same that had to go when they came
        os.eventfd_write(self._filled, count)
        return True

    def _label(self, record: LogRecord) -> None:
        for number, label in zip(record.columns.times, record.columns.labels, strict=True):
            self._pending.join(number, self._corrections.get(number, label))
        os.eventfd_write(self._filled, 1)
