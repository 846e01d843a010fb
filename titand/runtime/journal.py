"""Transactions in the arena: counters, states and a stream's position change together, whoever dies in between.

A change is first written to a journal in the arena as *absolute* values, then marked valid, then applied, then marked
done. A front that dies in the middle is followed by one that applies the journal again, which changes nothing that was
applied already.
"""

from __future__ import annotations

import struct

from titand.clock import Clock
from titand.runtime.arena import COUNTER_COUNT, FREE, Arena
from titand.runtime.stream_table import POSITION_BYTES, StreamPosition, StreamTable, encode_position

TRANSACTIONS = 5  # place of the counter of them, among those of the ledger
MOST_RUNS = 256  # of slots, in one transaction

_COUNTERS = struct.Struct(f"<{COUNTER_COUNT}q")
_HEAD = struct.Struct("<BBHi")  # valid, new state, run count, stream
_RUN = struct.Struct("<II")


class Journal:
    """Changes the arena in transactions. Not thread-safe.

    Args:
        arena: whose unfinished transaction, if a predecessor left one, is finished first.
        streams: the table of their positions in it.
        clock: stamps their use.
    """

    def __init__(self, arena: Arena, streams: StreamTable, clock: Clock) -> None:
        self._arena = arena
        self._streams = streams
        self._clock = clock
        self._redo()
        self._used_ns = streams.last_use()

    def commit(
        self, counters: list[int], runs: list[tuple[int, int]], new_state: int, stream: int, position: StreamPosition
    ) -> None:
        """Change everything, or, if we die before the journal is valid, nothing.

        Args:
            counters: all of them, with their new values; one more transaction is added.
            runs: (start, count) of slots, at most MOST_RUNS.
            new_state: of these slots: FREE for ended ones, otherwise one that is stored over FREE.
            stream: place of the stream whose position changes; -1 for none.
            position: its new one.
        """
        counters[TRANSACTIONS] += 1
        self._used_ns = max(self._clock.wall_ns(), self._used_ns + 1)  # later than any before, however the clock is set
        entry = b"".join(
            (
                _HEAD.pack(0, new_state, len(runs), stream),
                _COUNTERS.pack(*counters),
                encode_position(position, self._used_ns),
                *(_RUN.pack(*run) for run in runs),
            )
        )
        self._arena.journal[: len(entry)] = entry
        self._arena.journal[0] = 1
        self._redo()

    def give_place(self, stream_id: str, in_use: frozenset[int]) -> int:
        """Give a stream the place that is needed least, and return it.

        Raises:
            LookupError: every place is in use.
        """
        place = self._streams.least_needed(in_use)
        self._streams.name(place, "")  # first nobody's, then empty, then the new one's
        self.commit(list(self._arena.counters), [], FREE, place, StreamPosition())
        self._streams.name(place, stream_id)
        return place

    def _redo(self) -> None:
        arena, journal = self._arena, self._arena.journal
        valid, new_state, run_count, stream = _HEAD.unpack(journal[: _HEAD.size])
        if not valid:
            return
        offset = _HEAD.size
        arena.counters[:] = journal[offset : offset + _COUNTERS.size].cast("q")
        offset += _COUNTERS.size
        if stream >= 0:
            self._streams.write(stream, journal[offset : offset + POSITION_BYTES])
        offset += POSITION_BYTES
        for start, count in _RUN.iter_unpack(journal[offset : offset + run_count * _RUN.size]):
            stop = start + count
            if new_state == FREE or bytes(arena.state[start:stop]) == bytes(count):
                arena.state[start:stop] = bytes([new_state]) * count
                continue
            # Cut short before, and others have gone on with some: an admission only ever stores over FREE.
            for slot in range(start, stop):
                if arena.state[slot] == FREE:
                    arena.state[slot] = new_state
        journal[0] = 0
