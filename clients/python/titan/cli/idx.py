"""Samples from a pair of IDX files, as MNIST and its kin come in; gzipped or not."""

from __future__ import annotations

import gzip
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from titan.cli.output import Misused
from titan.cli.target import CODES, Piece, Target

TYPES = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}


class Header(NamedTuple):
    """What an IDX file says of itself."""

    code: str
    shape: tuple[int, ...]

    @property
    def sample_items(self) -> int:
        """Elements of one sample."""
        items = 1
        for extent in self.shape[1:]:
            items *= extent
        return items


def count(path: str) -> int:
    """Return how many samples there are."""
    with _open(path) as file:
        return _header(file, path).shape[0]


def pieces(path: str, target: Target, labels_path: str | None = None) -> Iterator[Piece]:
    """Yield the samples in the order of the files.

    Args:
        path: of the samples.
        target: what the daemon takes.
        labels_path: by default the same name with "labels-idx1" for "images-idx3".
    """
    labels_path = labels_path or _labels_beside(path)
    with _open(path) as file, _open(labels_path) as labels_file:
        header, labels_header = _header(file, path), _header(labels_file, labels_path)
        if len(labels_header.shape) != 1 or labels_header.shape[0] != header.shape[0]:
            raise Misused(f"{labels_path}: does not hold one label for each of the {header.shape[0]} samples of {path}")
        target.require_shape(header.shape[1:], path)
        left = header.shape[0]
        while left:
            some = min(left, target.piece_count)
            values = _numbers(file, header.code, some * header.sample_items, path)
            labels = list(map(int, _numbers(labels_file, labels_header.code, some, labels_path)))
            same = header.code == CODES[target.spec.data_type] and sys.byteorder == "little"
            yield Piece(values.tobytes() if same else target.pack(values, path), labels)
            left -= some


def _numbers(file: BinaryIO, code: str, items: int, path: str) -> array[float]:
    values: array[float] = array(code)
    try:
        data = file.read(items * values.itemsize)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Misused(f"{path}: cannot be unpacked ({error})") from None
    if len(data) != items * values.itemsize:
        raise Misused(f"{path}: ends too early")
    values.frombytes(data)
    if sys.byteorder == "little":
        values.byteswap()  # IDX is big-endian
    return values


def _header(file: BinaryIO, path: str) -> Header:
    try:
        zero, code, dimensions = struct.unpack(">HBB", file.read(4))
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
    except (struct.error, OSError, EOFError, zlib.error):
        raise Misused(f"{path}: is no IDX file") from None
    if zero or code not in TYPES or not shape:
        raise Misused(f"{path}: is no IDX file")
    return Header(TYPES[code], shape)


def _labels_beside(path: str) -> str:
    folder, name = os.path.split(path)
    other = name.replace("images", "labels").replace("idx3", "idx1")
    if other == name or not os.path.exists(os.path.join(folder, other)):
        raise Misused(f"{path}: no file of labels beside it; name it with --labels")
    return os.path.join(folder, other)


def _open(path: str) -> BinaryIO:
    if path.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return open(path, "rb")
