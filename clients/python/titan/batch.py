"""What goes to the server: the opening of a connection, and samples in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from titan.records import TensorSpec


class Opening(NamedTuple):
    """The first message of a connection."""

    stream_id: str
    producer: str


class Batch(NamedTuple):
    """Neighbouring samples of one type and shape.

    Attributes:
        first_sequence: of the first; the others follow it. 0 before a stream has taken them.
        observe_times_ns: empty, or one per sample.
        data: their bytes, one after the other.
    """

    first_sequence: int
    spec: TensorSpec
    labels: Sequence[int]
    observe_times_ns: Sequence[int]
    data: bytes | memoryview

    @property
    def sample_count(self) -> int:
        """How many samples."""
        return len(self.labels)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last."""
        return self.first_sequence + len(self.labels) - 1

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return len(self.data) // max(len(self.labels), 1)

    def split(self, count: int) -> tuple[Batch, Batch]:
        """Return the first `count` samples and the others; nothing is copied."""
        if count == len(self.labels):
            return self, self._replace(labels=(), observe_times_ns=(), data=b"")
        data, cut = memoryview(self.data), count * self.sample_bytes
        return (
            Batch(self.first_sequence, self.spec, self.labels[:count], self.observe_times_ns[:count], data[:cut]),
            Batch(
                self.first_sequence + count, self.spec, self.labels[count:], self.observe_times_ns[count:], data[cut:]
            ),
        )

    def goes_with(self, other: Batch) -> bool:
        """Whether both fit into one message."""
        return (
            (self.spec == other.spec)
            and (not self.observe_times_ns) == (not other.observe_times_ns)
            and self.sample_bytes == other.sample_bytes
        )


def join(pieces: Sequence[Batch]) -> Batch:
    """Return neighbours that go with each other as one."""
    if len(pieces) == 1:
        return pieces[0]
    return pieces[0]._replace(
        labels=[label for piece in pieces for label in piece.labels],
        observe_times_ns=[time for piece in pieces for time in piece.observe_times_ns],
        data=b"".join(piece.data for piece in pieces),
    )
