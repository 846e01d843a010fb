"""Where each producer's stream stands: a small table in the arena, so that a front that dies forgets nothing.

Only the ledger changes a position, and only in a transaction; see `ledger.py`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from titand.runtime.arena import STREAM_BYTES, STREAM_COUNT

_ID_BYTES = 64
_POSITION = struct.Struct("<qqqqq")  # last sequence, accepted, rejected, shed, last use
POSITION_BYTES = _POSITION.size


class StreamPosition(NamedTuple):
    """How far a producer's stream is settled; a tuple, since each batch makes two."""

    sequence: int = 0
    accepted: int = 0
    rejected: int = 0
    shed: int = 0


def encode_position(position: StreamPosition, used_ns: int) -> bytes:
    """Return a position as `StreamTable.write` takes it."""
    return _POSITION.pack(position.sequence, position.accepted, position.rejected, position.shed, used_ns)


class StreamTable:
    """The table in the arena's memory.

    Args:
        memory: [STREAM_COUNT * STREAM_BYTES] bytes.
    """

    def __init__(self, memory: memoryview[int]) -> None:
        self._memory = memory

    def find(self, stream_id: str, in_use: frozenset[int]) -> int | None:
        """Return the place of a stream that is not open now; None for an unknown or a nameless one."""
        wanted = _encoded(stream_id)
        places = (place for place in range(STREAM_COUNT) if place not in in_use and self._id(place) == wanted)
        return next(places, None) if stream_id else None

    def least_needed(self, in_use: frozenset[int]) -> int:
        """Return the place to give away: a nameless stream's first, then the one unused for longest.

        Raises:
            LookupError: every place is in use.
        """
        free = [place for place in range(STREAM_COUNT) if place not in in_use]
        if not free:
            raise LookupError("all places of streams are in use")
        return min(free, key=lambda place: (any(self._id(place)), self._fields(place)[4]))

    def id_of(self, place: int) -> str:
        """Return the id of the stream of a place; empty for a nameless one."""
        return self._id(place).rstrip(b"\0").decode()

    def last_use(self) -> int:
        """Return when a stream was last used."""
        return max(self._fields(place)[4] for place in range(STREAM_COUNT))

    def name(self, place: int, stream_id: str) -> None:
        """Give a place to a stream."""
        self._memory[place * STREAM_BYTES : place * STREAM_BYTES + _ID_BYTES] = _encoded(stream_id)

    def position(self, place: int) -> StreamPosition:
        """Return how far the stream of a place is settled."""
        return StreamPosition(*self._fields(place)[:4])

    def write(self, place: int, encoded: memoryview[int]) -> None:
        """Store what `encode_position` gave."""
        start = place * STREAM_BYTES + _ID_BYTES
        self._memory[start : start + POSITION_BYTES] = encoded

    def _id(self, place: int) -> bytes:
        return bytes(self._memory[place * STREAM_BYTES : place * STREAM_BYTES + _ID_BYTES])

    def _fields(self, place: int) -> tuple[int, ...]:
        start = place * STREAM_BYTES + _ID_BYTES
        return _POSITION.unpack(self._memory[start : start + POSITION_BYTES])


def _encoded(stream_id: str) -> bytes:
    return stream_id.encode()[:_ID_BYTES].ljust(_ID_BYTES, b"\0")
