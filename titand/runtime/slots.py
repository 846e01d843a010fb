"""Room in the arena: free slots are found and filled, ended ones taken back, unused memory returned."""

from __future__ import annotations

import mmap
import re
from array import array

from titand.runtime.arena import ENDED, FATE_COUNT, FREE, Arena
from titand.runtime.counters import ACCEPTED, ENDED_COUNTER
from titand.runtime.journal import MOST_RUNS, Journal
from titand.runtime.log_records import Columns
from titand.runtime.stream_table import StreamPosition

Runs = list[tuple[int, int]]  # (first slot, count)

_FREE_RUN = re.compile(rb"\x00+")
_FREE_BYTE = bytes([FREE])
_WORTH_GIVING = 4  # times more slots touched than used


class Slots:
    """The slots of an arena. Not thread-safe: the ledger has the lock.

    Args:
        arena: where they are.
        journal: in which ended ones are taken back.
    """

    def __init__(self, arena: Arena, journal: Journal) -> None:
        self._arena = arena
        self._journal = journal
        self._touched = 0  # slots from here on have used no memory since it was last given back

    def free_count(self, most: int | None) -> int:
        """Return how many are free or ended; with `most`, counting stops there."""
        state = bytes(self._arena.state)
        free = state.count(FREE)
        if most is not None and free >= most:
            return most
        free += sum(map(state.count, ENDED_COUNTER))
        return free if most is None else min(free, most)

    def find_room(self, wanted: int) -> Runs:
        """Return runs of free slots for so many samples or fewer, after taking back ended ones if need be."""
        runs = self._free_runs(wanted)
        if not runs or sum(runs[-1]) > self._touched:  # ended slots again, rather than pages that were never used
            self.reclaim()
            runs = self._free_runs(wanted)
        if runs:
            self._touched = max(self._touched, sum(runs[-1]))
        return runs

    def fill(self, runs: Runs, first_number: int, accepted_ns: int, columns: Columns) -> None:
        """Copy samples into free slots; they are there once a transaction says so."""
        arena, size = self._arena, self._arena.layout.sample_bytes
        labels, times, data = columns
        done = 0
        for start, count in runs:
            stop = start + count
            arena.data[start * size : stop * size] = data[done * size : (done + count) * size]
            arena.number[start:stop] = array("q", range(first_number + done, first_number + done + count))
            arena.label[start:stop] = labels[done : done + count]
            arena.observed_ns[start:stop] = times[done : done + count] if times else _same(0, count)
            arena.accepted_ns[start:stop] = _same(accepted_ns, count)
            done += count

    def reclaim(self) -> None:
        """Count all ended samples and free their slots."""
        arena = self._arena
        while True:
            state = bytes(arena.state)
            runs = []
            counters = list(arena.counters)
            for match in ENDED.finditer(state):
                runs.append((match.start(), match.end() - match.start()))
                for slot in range(*match.span()):
                    counters[ENDED_COUNTER[state[slot]]] += 1
                    # One that stayed long, held out, must not speak for a younger one. Before the slot is free: an
                    # image that misses the sample asks here for it.
                    if arena.number[slot] > counters[ACCEPTED] - FATE_COUNT:
                        arena.fates[arena.number[slot] % FATE_COUNT] = state[slot]
                if len(runs) == MOST_RUNS:
                    break
            if not runs:
                return
            self._journal.commit(counters, runs, FREE, -1, StreamPosition())

    def give_back(self) -> int:
        """Return the memory behind free slots to the system, if most of what was used is free; return the bytes."""
        arena, size = self._arena, self._arena.layout.sample_bytes
        self.reclaim()
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

    def _free_runs(self, wanted: int) -> Runs:
        # From the lowest slot: a slow stream then touches few pages.
        runs: Runs = []
        stop = 0
        while wanted > 0 and len(runs) < MOST_RUNS and (start := self._arena.find_free(stop)) >= 0:
            ahead = bytes(self._arena.state[start : start + wanted])
            count = len(ahead) - len(ahead.lstrip(_FREE_BYTE))
            runs.append((start, count))
            wanted -= count
            stop = start + count
        return runs


def _same(value: int, count: int) -> array[int]:
    return array("q", [value]) * count
