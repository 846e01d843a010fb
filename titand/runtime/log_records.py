"""What the ledger writes down of each change that a producer is told of: enough to make the change again.

A record holds the counters and the stream's position as they are *after* the change, absolute, and the samples or
labels themselves. Made again in order, the changes that an arena has not seen yet give the arena that there was; a
record that is missing in between shows in the counters of the next.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from titand.runtime.stream_table import StreamPosition

Buffer: TypeAlias = bytes | bytearray | memoryview

ADMITTED, PENDING, REFUSED, LABELLED, CORRECTED = 1, 2, 3, 4, 5

_HEAD = struct.Struct("<BBHIq5q4q64s")  # kind, has times, 0, count, accepted_ns, counters, position, stream id


class Columns(NamedTuple):
    """Samples, or labels.

    Attributes:
        labels: [N] int32.
        times: [N] int64, when the samples were observed, or empty; with labels alone, the samples' numbers.
        data: [N * sample_bytes].
    """

    labels: memoryview[int]
    times: memoryview[int]
    data: memoryview[int]

    def part(self, start: int, stop: int) -> Columns:
        """Return some of them."""
        size = len(self.data) // max(1, len(self.labels))
        return Columns(self.labels[start:stop], self.times[start:stop], self.data[start * size : stop * size])


NO_POSITION = StreamPosition()
NO_COLUMNS = Columns(memoryview(array("i")), memoryview(array("q")), memoryview(b""))


class DoorCounts(NamedTuple):
    """The counters that change at the door, after the change."""

    pushed: int
    shed: int
    rejected: int
    accepted: int
    orphans: int


@dataclass(frozen=True)
class LogRecord:
    """One change.

    Attributes:
        kind: samples ADMITTED, or PENDING without a label; REFUSED; LABELLED later; their label CORRECTED.
        counts: after it.
        stream_id: whose it is; empty for a stream that cannot be resumed, and for labels.
        position: of the stream, after it.
        accepted_ns: when.
        columns: the samples, or the labels.

    Example:
        >>> counts = DoorCounts(pushed=5, shed=0, rejected=2, accepted=3, orphans=0)
        >>> record = LogRecord(REFUSED, counts, "camera", StreamPosition(sequence=5, accepted=3, rejected=2))
        >>> decode(b"".join(record.encode())) == record
        True
    """

    kind: int
    counts: DoorCounts
    stream_id: str = ""
    position: StreamPosition = NO_POSITION
    accepted_ns: int = 0
    columns: Columns = NO_COLUMNS

    @property
    def sample_count(self) -> int:
        """Samples that it admits."""
        return len(self.columns.labels) if self.kind in (ADMITTED, PENDING) else 0

    def encode(self) -> Sequence[Buffer]:
        """Return the bytes, in pieces; the columns are not copied."""
        head = _HEAD.pack(
            self.kind,
            len(self.columns.times) > 0,
            0,
            len(self.columns.labels),
            self.accepted_ns,
            *self.counts,
            *self.position,
            self.stream_id.encode(),
        )
        return [head, *(view.cast("B") for view in self.columns if len(view))]


def decode(content: bytes) -> LogRecord:
    """Return what `encode` gave; the arrays are views of `content`.

    Raises:
        ValueError: it is no record.
    """
    if len(content) < _HEAD.size:
        raise ValueError(f"{len(content)} bytes are no record")
    kind, has_times, _, count, accepted_ns, *numbers, stream_id = _HEAD.unpack_from(content)
    labels = _HEAD.size + 4 * count
    times = labels + (8 * count if has_times else 0)
    rest = memoryview(content)
    return LogRecord(
        kind,
        DoorCounts(*numbers[:5]),
        stream_id.rstrip(b"\0").decode(),
        StreamPosition(*numbers[5:]),
        accepted_ns,
        Columns(
            rest[_HEAD.size : labels].cast("i") if count else NO_COLUMNS.labels,
            rest[labels:times].cast("q") if has_times else NO_COLUMNS.times,
            rest[times:],
        ),
    )
