"""A log of records in one preallocated file: appended, made durable in groups, overwritten once they are released.

    log = RingLog.create(path, capacity_bytes=1 << 20, about={"kind": "samples"})
    log.append(1, [b"first"])       # handed to the kernel: survives the death of every process
    log.flush()                     # on the medium: survives a power cut. One flush serves all who wait
    log.release(1)                  # its space may be written over

    log = RingLog.open(path)        # finds every record that is whole and was not released and written over
    for sequence, payload in log.recovered(): ...

Whoever stages a power cut needs no more than these: what was appended before a `flush` that returned must be recovered,
byte for byte and in order; of what came after, any beginning may be, and nothing else.
"""

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
#
# A sector that was flushed is not written again before its record is released: a write that tears harms only what
# nobody was promised. Nothing points to the newest record, so that an append is one write; it is found by reading the
# file. Up to the greatest position that a record or a promise knows to be on the medium, every whole record counts, and
# a hole is decay, or what was released. From there on records count up to the first hole; what lies behind it was never
# promised, and is wiped, lest a later record fill the hole exactly and call it back to life. A promise is flushed
# before released space is written over: otherwise a torn write there would look like the first hole.
#
# After a failed flush Linux marks the pages clean, and a second flush says "done" about bytes that are gone. So a file
# that has failed once fails ever after; whoever goes on makes a new one.

from __future__ import annotations

import errno
import json
import os
import struct
import threading
import zlib
from collections import deque
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
_MARKS = 1024  # in a full log: how exactly it is known where a sequence ends, when it is released


@dataclass(frozen=True)
class _Found:
    """A whole record in the file."""

    position: int
    sequence: int
    flushed: int
    length: int

    @property
    def end(self) -> int:
        return self.position + record_bytes(self.length)


def record_bytes(length: int) -> int:
    """Return what a payload takes in the log.

    >>> record_bytes(100), record_bytes(500)
    (512, 1024)
    """
    return -(-(RECORD_HEAD_BYTES + length) // SECTOR_BYTES) * SECTOR_BYTES


class RingLog:
    """An open log; see `create` and `open`. Thread-safe.

    Attributes:
        path: of the file.
        capacity_bytes: of all records together.
        about: what the owner has said about the file.
        flush_count, written_bytes: since it was opened.
    """

    def __init__(self, path: Path, descriptor: int, header: Mapping[str, Any]) -> None:
        self.path = path
        self.about: Mapping[str, Any] = header["about"]
        self.capacity_bytes: int = header["capacity_bytes"]
        self.flush_count = self.written_bytes = 0
        self._descriptor = descriptor
        self._seed = zlib.crc32(bytes.fromhex(header["id"]))
        self._changed = threading.Condition()
        self._head = self._flushed = self._tail = 0
        self._newest = 0
        self._writes = self._writes_flushed = self._promise_count = 0
        self._marks: deque[tuple[int, int]] = deque()  # (sequence, end), some of them
        self._recovered: list[_Found] = []
        self._flushing = False
        self._failure: StorageError | None = None

    @staticmethod
    def create(path: Path, capacity_bytes: int, about: Mapping[str, Any] | None = None) -> RingLog:
        """Make an empty log, whole on the medium on return; a file already there is replaced.

        Raises:
            StorageError: the disk refuses, or is too small.
            ValueError: the capacity is not made of sectors, or what is said about it is too long.
        """
        if capacity_bytes <= 0 or capacity_bytes % SECTOR_BYTES:
            raise ValueError(f"{capacity_bytes} bytes are not whole sectors")
        header = {"capacity_bytes": capacity_bytes, "id": os.urandom(16).hex(), "about": dict(about or {})}
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
        return RingLog(path, descriptor, header)

    @staticmethod
    def open(path: Path) -> RingLog:
        """Open a log and find its records; what was found is on the medium on return.

        Raises:
            CorruptFile: it is no log, or its header is damaged.
            StorageError: the disk refuses, or FORMAT_TOO_NEW.
        """
        with refusals_of(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                log = RingLog(path, descriptor, _read_header(path, descriptor))
                log._recover()
            except BaseException:
                os.close(descriptor)
                raise
        return log

    # ---- writing

    @property
    def newest_sequence(self) -> int:
        """Sequence of the newest record; 0 before the first."""
        return self._newest

    @property
    def used_bytes(self) -> int:
        """Bytes of records that are not released."""
        return self._head - self._tail

    @property
    def free_bytes(self) -> int:
        """Bytes that can be appended."""
        return self.capacity_bytes - self.used_bytes

    def append(self, sequence: int, parts: Sequence[Buffer]) -> None:
        """Write a record; it is durable after the next `flush`.

        Args:
            sequence: greater than that of every record before.
            parts: the payload, in pieces.

        Raises:
            BufferError: there is no room, see `free_bytes`.
            StorageError: the disk refuses, now or earlier.
            ValueError: the sequence is not greater than the last one.
        """
        length = sum(memoryview(part).nbytes for part in parts)
        with self._changed:
            self._require_sound()
            if sequence <= self._newest:
                raise ValueError(f"sequence {sequence} does not come after {self._newest}")
            if record_bytes(length) > self.free_bytes:
                raise BufferError(f"{record_bytes(length)} bytes wanted, {self.free_bytes} free in {self.path}")
            fields = _FIELDS.pack(_RECORD_MAGIC, self._head, sequence, self._flushed, length)
            head = fields + _CRC32.pack(self._checksum(fields, *parts))
            try:
                with refusals_of(self.path):
                    self._write(self._head, [head, *parts])
            except StorageError as error:
                self._fail(error)
                raise
            self._head += record_bytes(length)
            self._newest = sequence
            self._writes += 1
            self.written_bytes += record_bytes(length)
            self._mark(sequence, self._head)

    def flush(self) -> None:
        """Return when everything appended before the call is on the medium; one flush serves all who wait.

        Raises:
            StorageError: the disk refuses, now or earlier.
        """
        with self._changed:
            self._require_sound()
            wanted = self._writes
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._flushing or self._writes_flushed >= wanted)
                if self._writes_flushed >= wanted:
                    return
                self._require_sound()
                self._flushing, writes, reached = True, self._writes, self._head
            failure = None
            try:
                with refusals_of(self.path):
                    os.fdatasync(self._descriptor)
            except StorageError as error:
                failure = error
            with self._changed:
                self._flushing = False
                if failure is None:
                    self._flushed, self._writes_flushed = reached, writes
                    self.flush_count += 1
                else:
                    self._fail(failure)
                self._changed.notify_all()

    def release(self, sequence: int) -> None:
        """Let go of all records up to this sequence; some of the last may be kept until more are let go.

        Raises:
            StorageError: the disk refuses, now or earlier.
        """
        with self._changed:
            tail = self._head if sequence >= self._newest else self._tail
            for newest, end in self._marks:
                if newest > sequence:
                    break
                tail = max(tail, end)
            if tail == self._tail:
                return
        self.flush()
        with self._changed:
            self._promise()
        self.flush()
        with self._changed:
            self._tail = max(self._tail, tail)
            while self._marks and self._marks[0][1] <= tail:
                self._marks.popleft()

    def close(self) -> None:
        """Close the file; what was appended and not flushed may be lost in a power cut."""
        os.close(self._descriptor)

    # ---- reading

    def recovered(self) -> Iterator[tuple[int, bytes]]:
        """Yield sequence and payload of the records that were found on opening, oldest first.

        They must not have been written over since: release none, or append nothing, until they are read.

        Raises:
            StorageError: the disk refuses.
        """
        for found in self._recovered:
            with refusals_of(self.path):
                payload = self._read(found.position + RECORD_HEAD_BYTES, found.length)
            yield found.sequence, payload

    # ---- inside

    def _recover(self) -> None:
        # What a flush could not write stays in memory, and looks as if all were well: read what the medium holds.
        os.fdatasync(self._descriptor)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        whole = sorted(self._scan(), key=lambda found: found.position)
        self._promise_count, promised = max(self._promises(), default=(0, 0))
        promised = max([promised, *(found.flushed for found in whole)])
        kept, strays = [], []
        end = promised
        for found in whole:
            if found.end <= promised:
                kept.append(found)
            elif found.position == end:
                kept.append(found)
                end = found.end
            else:
                strays.append(found)
        for stray in strays:
            self._write(stray.position, [bytes(RECORD_HEAD_BYTES)])
        os.fdatasync(self._descriptor)
        self._recovered = kept
        self._head = self._flushed = end
        self._tail = kept[0].position if kept else end
        for found in kept:
            self._newest = found.sequence
            self._mark(found.sequence, found.end)

    def _scan(self) -> Iterator[_Found]:
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

    def _check(self, offset: int) -> _Found | None:
        """Return the record that begins at an offset, if there is a whole one."""
        head = self._read(offset, RECORD_HEAD_BYTES)
        _, position, sequence, flushed, length = _FIELDS.unpack_from(head)
        if position % self.capacity_bytes != offset or record_bytes(length) > self.capacity_bytes:
            return None
        (checksum,) = _CRC32.unpack_from(head, _FIELDS.size)
        payload = self._read(offset + RECORD_HEAD_BYTES, length)
        if self._checksum(head[: _FIELDS.size], payload) != checksum:
            return None
        return _Found(position, sequence, flushed, length)

    def _promise(self) -> None:
        """Write down how far everything is on the medium."""
        self._require_sound()
        self._promise_count += 1
        fields = _PROMISE.pack(self._promise_count, self._flushed)
        place = SECTOR_BYTES * (1 + self._promise_count % _PROMISES)
        try:
            with refusals_of(self.path):
                os.pwrite(self._descriptor, fields + _CRC32.pack(self._checksum(fields)), place)
        except StorageError as error:
            self._fail(error)
            raise
        self._writes += 1
        self.written_bytes += SECTOR_BYTES

    def _promises(self) -> Iterator[tuple[int, int]]:
        """Yield count and position of those that are whole."""
        for place in range(_PROMISES):
            content = os.pread(self._descriptor, _PROMISE.size + _CRC32.size, SECTOR_BYTES * (1 + place))
            if len(content) == _PROMISE.size + _CRC32.size:
                fields, checksum = content[: _PROMISE.size], _CRC32.unpack_from(content, _PROMISE.size)[0]
                if self._checksum(fields) == checksum:
                    yield _PROMISE.unpack(fields)

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

    def _mark(self, sequence: int, end: int) -> None:
        if not self._marks or end - self._marks[-1][1] >= self.capacity_bytes // _MARKS:
            self._marks.append((sequence, end))

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, failure: StorageError) -> None:
        self._failure = failure
        self._changed.notify_all()


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
