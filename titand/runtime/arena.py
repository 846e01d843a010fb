"""The sample arena: one anonymous shared memory where a sample lives from its admission to its end.

Columns first, then the samples themselves, one fixed-size slot each:

    header | ledger | streams | journal | fates | state | number | label | round | observed | accepted | data

A slot's state byte is the whole truth about its sample:

             front                selector                selector              trainer
    FREE ------------> FILLED ---------------> CANDIDATE ----------> SELECTED ----------> TRAINED
      |                 ^ |  |                     |
      |                 | |  '--> HELD_OUT         '--> EVICTED, INVALID
      |      front      | |          |
      '-> PENDING_LABEL-' |          '--> RELEASED
                 |        '--> FILTERED, INVALID
                 '--> EXPIRED

Each arrow is one byte, stored by the one process that owns the sample at that moment, so there is no state in between
and a process that dies leaves none. Only the front turns an ended slot back to FREE, when it adds it to the ledger
(see `ledger.py`). Hence the ledger is exact whatever dies.

Memory order: the front announces filled slots through an eventfd and workers pass slot numbers through sockets; both
are system calls, which order the stores before them on every processor that Linux runs on.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

FREE, FILLED, CANDIDATE, SELECTED, HELD_OUT, PENDING_LABEL = 0, 1, 2, 3, 4, 5
FILTERED, EVICTED, TRAINED, RELEASED, INVALID, EXPIRED = 16, 17, 18, 19, 20, 21
UNLABELLED = -1  # instead of a label, as it is pushed
ENDED = re.compile(rb"[\x10-\x1f]+")  # runs of slots whose sample has come to its end

COUNTER_COUNT = 16
STREAM_COUNT = 64
STREAM_BYTES = 128
JOURNAL_BYTES = 8192
FATE_COUNT = 1 << 16  # the latest samples whose fate is remembered, by number modulo this

_MAGIC = 0x5449_5441_4E44_0001
_HEADER = struct.Struct("<qqq")  # magic, slot count, sample bytes
_ALIGN = 64


@dataclass(frozen=True)
class ArenaLayout:
    """Where everything lies in the arena, from two numbers.

    Attributes:
        slot_count: samples that fit.
        sample_bytes: bytes of one sample.

    >>> layout = ArenaLayout(slot_count=100, sample_bytes=64)
    >>> layout.data % 64, layout.size_bytes - layout.data
    (0, 6400)
    """

    slot_count: int
    sample_bytes: int

    @staticmethod
    def fitting(arena_bytes: int, sample_bytes: int, least: int, most: int) -> ArenaLayout:
        """Return as many slots as fit `arena_bytes`, but at least `least` and at most `most`."""
        return ArenaLayout(max(least, min(most, arena_bytes // sample_bytes)), sample_bytes)

    def _offsets(self) -> tuple[int, ...]:
        sizes = [
            _ALIGN,
            COUNTER_COUNT * 8,
            STREAM_COUNT * STREAM_BYTES,
            JOURNAL_BYTES,
            FATE_COUNT,
            self.slot_count,
            self.slot_count * 8,
            self.slot_count * 4,
            self.slot_count * 8,
            self.slot_count * 8,
            self.slot_count * 8,
            self.slot_count * self.sample_bytes,
        ]
        offsets = [0]
        for size in sizes:
            offsets.append((offsets[-1] + size + _ALIGN - 1) // _ALIGN * _ALIGN)
        return tuple(offsets)

    @property
    def data(self) -> int:
        """Offset of the first sample."""
        return self._offsets()[11]

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole arena."""
        return self._offsets()[11] + self.slot_count * self.sample_bytes


class Arena:
    """A process's view of the arena: plain memoryviews, no copy.

    Args:
        descriptor: memory made by `create_arena`; its header says how it is laid out.

    Raises:
        ValueError: it is not an arena of this version.

    Attributes:
        state: [N] uint8.
        number: [N] int64, the sample's number, from 1 in order of admission.
        label: [N] int32; meaningful unless PENDING_LABEL or EXPIRED.
        round: [N] int64, the round that selected it; meaningful when SELECTED or TRAINED.
        observed_ns, accepted_ns: [N] int64, nanoseconds since the Unix epoch.
        data: [N * sample_bytes] uint8.
    """

    def __init__(self, descriptor: int) -> None:
        magic, slot_count, sample_bytes = _HEADER.unpack(os.pread(descriptor, _HEADER.size, 0))
        if magic != _MAGIC:
            raise ValueError("this memory is not an arena of this version")
        self.layout = layout = ArenaLayout(slot_count, sample_bytes)
        self.memory = mmap.mmap(descriptor, layout.size_bytes)
        whole = memoryview(self.memory)
        offsets = layout._offsets()

        def column(index: int, size: int, code: Literal["B", "i", "q"]) -> memoryview[int]:
            return whole[offsets[index] : offsets[index] + size].cast("B").cast(code)

        count = layout.slot_count
        self.counters = column(1, COUNTER_COUNT * 8, "q")
        self.streams = column(2, STREAM_COUNT * STREAM_BYTES, "B")
        self.journal = column(3, JOURNAL_BYTES, "B")
        self.fates = column(4, FATE_COUNT, "B")
        self._first_state = offsets[5]
        self.state = column(5, count, "B")
        self.number = column(6, count * 8, "q")
        self.label = column(7, count * 4, "i")
        self.round = column(8, count * 8, "q")
        self.observed_ns = column(9, count * 8, "q")
        self.accepted_ns = column(10, count * 8, "q")
        self.data = whole[offsets[11] : offsets[11] + count * layout.sample_bytes]

    @property
    def data_offset(self) -> int:
        """Offset of the samples in `memory`."""
        return self.layout.data

    def find_free(self, start: int) -> int:
        """Return the first free slot from `start` on; -1 when there is none."""
        found = self.memory.find(bytes([FREE]), self._first_state + start, self._first_state + len(self.state))
        return found - self._first_state if found >= 0 else -1

    def slots_in(self, state: int) -> list[int]:
        """Return the slots in one state, oldest sample first."""
        slots = [match.start() for match in re.finditer(re.escape(bytes([state])), bytes(self.state))]
        return sorted(slots, key=self.number.__getitem__)

    def mark(self, slots: list[int], state: int) -> None:
        """Move samples to a state. The caller owns them."""
        for slot in slots:
            self.state[slot] = state

    def sample(self, slot: int) -> memoryview:
        """Return the bytes of the sample in a slot."""
        size = self.layout.sample_bytes
        return self.data[slot * size : (slot + 1) * size]


def create_arena(layout: ArenaLayout) -> int:
    """Make the memory for an arena and return its descriptor; pages cost nothing until they are used."""
    descriptor = os.memfd_create("titand-arena", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, layout.size_bytes)
    os.pwrite(descriptor, _HEADER.pack(_MAGIC, layout.slot_count, layout.sample_bytes), 0)
    return descriptor


def recover_slots(
    arena: Arena, completed_round: int, round_in_hand: int = 0, candidates: Container[int] = frozenset()
) -> int:
    """Give the samples of dead workers back to the filter; return how many.

    A candidate is filtered again, unless its buffer was restored. A selected sample was trained on if its round was
    completed (its parameters are published), otherwise it is filtered again too, unless the trainer has its batch.
    """
    recovered = 0
    for slot in arena.slots_in(CANDIDATE):
        if slot not in candidates:
            arena.state[slot] = FILLED
            recovered += 1
    for slot in arena.slots_in(SELECTED):
        if arena.round[slot] <= completed_round:
            arena.state[slot] = TRAINED
        elif arena.round[slot] != round_in_hand:
            arena.state[slot] = FILLED
            recovered += 1
    return recovered
