"""The file of a ring log: a header, two promises, and records that wrap around."""

# The file is
#
#     512 bytes   magic, format version, length and CRC-32 of a text; JSON: what the owner says about the file, its
#                 capacity, and a random id
#     2 x 512     promises, written in turn: a count, the position up to which everything was on the medium, CRC-32
#     2560        nothing
#     capacity    records; each begins on a sector of 512 bytes, at its position modulo the capacity, and may wrap
#
# and a record
#
#     8 bytes     magic
#     u64         position: bytes from the beginning of time, so it tells this lap from an earlier one
#     u64         sequence, the caller's, ever greater
#     u64         position up to which everything was on the medium when this was written
#     u32 u32     length, and CRC-32 over the file's id, the fields above and the payload
#     payload

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from titand.errors import CorruptFile, StorageError
from titand.storage.files import PARTIAL, READ_BYTES, Buffer, refusals_of, sync_folder
from titand.storage.formats import LOG

FORMAT_VERSION = LOG.version
SECTOR_BYTES = 512
HEADER_BYTES = 8 * SECTOR_BYTES

_FILE_MAGIC = b"titand\xb2\n"
_FILE_HEAD = struct.Struct("<8sIII")
_RECORD_MAGIC = b"\xb2record\n"
_FIELDS = struct.Struct("<8sQQQI")
_CRC32 = struct.Struct("<I")
_PROMISE = struct.Struct("<QQ")
_PROMISES = 2
RECORD_HEAD_BYTES = _FIELDS.size + _CRC32.size


@dataclass(frozen=True)
class Found:
    """A whole record in the file.

    Attributes:
        position: of its first byte, from the beginning of time.
        sequence: the caller's.
        flushed: position up to which everything was on the medium when it was written.
        length: of the payload.
    """

    position: int
    sequence: int
    flushed: int
    length: int

    @property
    def end(self) -> int:
        """Position of the record behind it."""
        return self.position + record_bytes(self.length)


def record_bytes(length: int) -> int:
    """Return what a payload takes in the log.

    >>> record_bytes(100), record_bytes(500)
    (512, 1024)
    """
    return -(-(RECORD_HEAD_BYTES + length) // SECTOR_BYTES) * SECTOR_BYTES


class RingFile:
    """An open file. What the operating system refuses is raised as it comes, an `OSError`.

    Attributes:
        about: what the owner has said about the file.
        capacity_bytes: of all records together.
    """

    def __init__(self, descriptor: int, header: Mapping[str, Any]) -> None:
        self.about: Mapping[str, Any] = header["about"]
        self.capacity_bytes: int = header["capacity_bytes"]
        self._descriptor = descriptor
        self._seed = zlib.crc32(bytes.fromhex(header["id"]))

    @staticmethod
    def create(path: Path, capacity_bytes: int, about: Mapping[str, Any]) -> RingFile:
        """Make an empty file, whole on the medium on return; one already there is replaced.

        Raises:
            StorageError: the disk refuses, or is too small.
            ValueError: the capacity is not made of sectors, or what is said about it is too long.
        """
        if capacity_bytes <= 0 or capacity_bytes % SECTOR_BYTES:
            raise ValueError(f"{capacity_bytes} bytes are not whole sectors")
        header = {"capacity_bytes": capacity_bytes, "id": os.urandom(16).hex(), "about": dict(about)}
        text = json.dumps(header).encode()
        head = _FILE_HEAD.pack(_FILE_MAGIC, FORMAT_VERSION, len(text), zlib.crc32(text)) + text
        if len(head) > SECTOR_BYTES:
            raise ValueError(f"{len(text)} bytes of header do not fit")
        partial = path.with_name(f".{path.name}{PARTIAL}")
        with refusals_of(path):
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(descriptor, 0, HEADER_BYTES + capacity_bytes)
                os.pwrite(descriptor, head, 0)
                os.fsync(descriptor)
                os.rename(partial, path)
                sync_folder(path.parent)
            except BaseException:
                os.close(descriptor)
                partial.unlink(missing_ok=True)
                raise
        return RingFile(descriptor, header)

    @staticmethod
    def open(path: Path) -> RingFile:
        """Open a file.

        Raises:
            CorruptFile: it is no log, or its header is damaged.
            StorageError: the disk refuses, or FORMAT_TOO_NEW.
        """
        with refusals_of(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                return RingFile(descriptor, _read_header(path, descriptor))
            except BaseException:
                os.close(descriptor)
                raise

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def sync(self) -> None:
        """Return when everything that was written is on the medium."""
        os.fdatasync(self._descriptor)

    def forget(self) -> None:
        """Let go of what memory holds of it, so that what is read next comes from the medium."""
        os.fdatasync(self._descriptor)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    # ---- records

    def write_record(self, position: int, sequence: int, flushed: int, parts: Sequence[Buffer]) -> int:
        """Write a record at a position; return the position behind it."""
        length = sum(memoryview(part).nbytes for part in parts)
        fields = _FIELDS.pack(_RECORD_MAGIC, position, sequence, flushed, length)
        self._write(position, [fields + _CRC32.pack(self._checksum(fields, *parts)), *parts])
        return position + record_bytes(length)

    def wipe(self, position: int) -> None:
        """Make what begins at a position no record."""
        self._write(position, [bytes(RECORD_HEAD_BYTES)])

    def payload_of(self, found: Found) -> bytes:
        """Return what a record holds."""
        return self._read(found.position + RECORD_HEAD_BYTES, found.length)

    def scan(self) -> Iterator[Found]:
        """Yield every whole record, in the order of the file."""
        offset = 0
        while offset < self.capacity_bytes:
            chunk = self._read(offset, min(READ_BYTES, self.capacity_bytes - offset))
            inside = 0
            while inside < len(chunk):
                found = self._check(offset + inside) if chunk.startswith(_RECORD_MAGIC, inside) else None
                if found is not None:
                    yield found
                inside += SECTOR_BYTES if found is None else record_bytes(found.length)
            offset += inside

    def _check(self, offset: int) -> Found | None:
        """Return the record that begins at an offset, if there is a whole one."""
        head = self._read(offset, RECORD_HEAD_BYTES)
        _, position, sequence, flushed, length = _FIELDS.unpack_from(head)
        if position % self.capacity_bytes != offset or record_bytes(length) > self.capacity_bytes:
            return None
        (checksum,) = _CRC32.unpack_from(head, _FIELDS.size)
        payload = self._read(offset + RECORD_HEAD_BYTES, length)
        if self._checksum(head[: _FIELDS.size], payload) != checksum:
            return None
        return Found(position, sequence, flushed, length)

    # ---- promises

    def write_promise(self, count: int, position: int) -> None:
        """Write down, for the n-th time, how far everything is on the medium."""
        fields = _PROMISE.pack(count, position)
        place = SECTOR_BYTES * (1 + count % _PROMISES)
        os.pwrite(self._descriptor, fields + _CRC32.pack(self._checksum(fields)), place)

    def promises(self) -> Iterator[tuple[int, int]]:
        """Yield count and position of those that are whole."""
        for place in range(_PROMISES):
            content = os.pread(self._descriptor, _PROMISE.size + _CRC32.size, SECTOR_BYTES * (1 + place))
            if len(content) == _PROMISE.size + _CRC32.size:
                fields, checksum = content[: _PROMISE.size], _CRC32.unpack_from(content, _PROMISE.size)[0]
                if self._checksum(fields) == checksum:
                    yield _PROMISE.unpack(fields)

    # ---- bytes

    def _checksum(self, *parts: Buffer) -> int:
        checksum = self._seed
        for part in parts:
            checksum = zlib.crc32(part, checksum)
        return checksum

    def _write(self, position: int, parts: Sequence[Buffer]) -> None:
        offset = position % self.capacity_bytes
        size = sum(memoryview(part).nbytes for part in parts)
        room = self.capacity_bytes - offset
        if size <= room:
            self._write_at(offset, parts, size)
            return
        whole = memoryview(b"".join(parts))
        self._write_at(offset, [whole[:room]], room)
        self._write_at(0, [whole[room:]], size - room)

    def _write_at(self, offset: int, parts: Sequence[Buffer], size: int) -> None:
        if os.pwritev(self._descriptor, parts, HEADER_BYTES + offset) != size:
            raise OSError(errno.EIO, "wrote less than it was given")

    def _read(self, position: int, length: int) -> bytes:
        offset = position % self.capacity_bytes
        first = min(length, self.capacity_bytes - offset)
        content = os.pread(self._descriptor, first, HEADER_BYTES + offset)
        if first < length:
            content += os.pread(self._descriptor, length - first, HEADER_BYTES)
        return content.ljust(length, b"\0")  # a file that was cut off


def _read_header(path: Path, descriptor: int) -> dict[str, Any]:
    content = os.pread(descriptor, SECTOR_BYTES, 0)
    if len(content) < _FILE_HEAD.size or not content.startswith(_FILE_MAGIC):
        raise _corrupt(path, "it does not begin like a log")
    _, version, length, checksum = _FILE_HEAD.unpack_from(content)
    text = content[_FILE_HEAD.size : _FILE_HEAD.size + length]
    if zlib.crc32(text) != checksum or len(text) != length:
        raise _corrupt(path, "its header is damaged")
    if version > FORMAT_VERSION:
        raise StorageError(
            "FORMAT_TOO_NEW",
            f"{path}: written in format {version}, this titand knows {FORMAT_VERSION}.",
            "Install the newer titand again, or move the file away to begin without it.",
            {"path": str(path)},
        )
    return LOG.migrate(json.loads(text), version)


def _corrupt(path: Path, defect: str) -> CorruptFile:
    return CorruptFile("LOG_CORRUPT", f"{path}: {defect}.", "Check the medium.", {"path": str(path)})
