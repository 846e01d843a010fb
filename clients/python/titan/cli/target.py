"""What the daemon takes, and how what a file holds becomes just that: exactly, or not without being told to."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from titan.cli.output import Misused
from titan.records import TensorSpec

CODES = {"uint8": "B", "int16": "h", "float16": "e", "float32": "f"}
PIECE_BYTES = 1 << 20


class Piece(NamedTuple):
    """Some samples of a file, ready to be pushed."""

    data: bytes | memoryview
    labels: list[int]

    def cut(self, count: int) -> Iterator[Piece]:
        """Yield pieces of at most `count` samples."""
        view, size = memoryview(self.data), len(self.data) // len(self.labels)
        for begin in range(0, len(self.labels), count):
            labels = self.labels[begin : begin + count]
            yield Piece(view[begin * size : (begin + len(labels)) * size], labels)


class Target(NamedTuple):
    """What the daemon takes.

    Attributes:
        spec: type and shape of one sample.
        labels: class names, in the order of their ids.
        forced: whether values may change on their way to the type (`--as`).
    """

    spec: TensorSpec
    labels: tuple[str, ...]
    forced: bool = False

    @property
    def piece_count(self) -> int:
        """How many samples make a good piece."""
        return max(PIECE_BYTES // self.spec.size_bytes, 1)

    def label(self, said: str, where: str) -> int:
        """Return the id of a class by its name, or else by its number."""
        return class_id(said, self.labels, where)

    def require_shape(self, shape: Sequence[int], where: str) -> None:
        """Refuse samples of another shape; extents of 1 do not count."""
        if [n for n in shape if n != 1] != [n for n in self.spec.shape if n != 1]:
            found = "x".join(map(str, shape))
            raise Misused(
                f"{where}: samples are {found}; the model takes {self.spec}. Crop, scale or reshape them first"
            )

    def pack(self, values: Sequence[float], where: str, exact: bool = True) -> bytes:
        """Return numbers as the bytes of the daemon's type.

        Args:
            values: the numbers.
            where: they come from, for errors.
            exact: whether every one must survive unchanged, unless the user said `--as`.
        """
        kind, code = self.spec.data_type, CODES[self.spec.data_type]
        try:
            whole = [round(value) for value in values] if code in "Bh" else values
            packed = struct.pack(f"<{len(values)}{code}", *whole)
        except (struct.error, OverflowError, ValueError):
            raise Misused(f"{where}: there are values that do not fit {kind}. Scale them first") from None
        if exact and not self.forced:
            survived = struct.unpack(f"<{len(values)}{code}", packed)
            if any(there != here for there, here in zip(survived, values, strict=True) if here == here):  # NaN is not
                raise self.inexact(where)
        return packed

    def inexact(self, where: str) -> Misused:
        """Return the error for values that the type cannot hold."""
        kind = self.spec.data_type
        return Misused(f"{where}: some values are not exact in {kind}. Say --as {kind} to round them")


def class_id(said: str, labels: Sequence[str], where: str) -> int:
    """Return the id of a class by its name, or else by its number."""
    if said in labels:
        return labels.index(said)
    if said.strip().isdecimal() and int(said) < len(labels):
        return int(said)
    known = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
    raise Misused(f"{where}: '{said}' is no label of the model; it knows {known}")
