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

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from titand.errors import StorageError
from titand.storage.files import Buffer, refusals_of
from titand.storage.ring_file import SECTOR_BYTES, Found, RingFile, record_bytes

_MARKS = 1024  # in a full log: how exactly it is known where a sequence ends, when it is released


class RingLog:
    """An open log; see `create` and `open`. Thread-safe.

    Attributes:
        path: of the file.
        capacity_bytes: of all records together.
        about: what the owner has said about the file.
        flush_count, written_bytes: since it was opened.
    """

    def __init__(self, path: Path, file: RingFile) -> None:
        self.path = path
        self.about = file.about
        self.capacity_bytes = file.capacity_bytes
        self.flush_count = self.written_bytes = 0
        self._file = file
        self._changed = threading.Condition()
        self._head = self._flushed = self._tail = 0
        self._newest = 0
        self._writes = self._writes_flushed = self._promise_count = 0
        self._marks: deque[tuple[int, int]] = deque()  # (sequence, end), some of them
        self._recovered: list[Found] = []
        self._flushing = False
        self._failure: StorageError | None = None

    @staticmethod
    def create(path: Path, capacity_bytes: int, about: Mapping[str, Any] | None = None) -> RingLog:
        """Make an empty log, whole on the medium on return; a file already there is replaced.

        Raises:
            StorageError: the disk refuses, or is too small.
            ValueError: the capacity is not made of sectors, or what is said about it is too long.
        """
        return RingLog(path, RingFile.create(path, capacity_bytes, about or {}))

    @staticmethod
    def open(path: Path) -> RingLog:
        """Open a log and find its records; what was found is on the medium on return.

        Raises:
            CorruptFile: it is no log, or its header is damaged.
            StorageError: the disk refuses, or FORMAT_TOO_NEW.
        """
        log = RingLog(path, RingFile.open(path))
        try:
            with refusals_of(path):
                log._recover()
        except BaseException:
            log.close()
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
            try:
                with refusals_of(self.path):
                    end = self._file.write_record(self._head, sequence, self._flushed, parts)
            except StorageError as error:
                self._fail(error)
                raise
            self.written_bytes += end - self._head
            self._head = end
            self._newest = sequence
            self._writes += 1
            self._mark(sequence, end)

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
                    self._file.sync()
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
        self._file.close()

    # ---- reading

    def recovered(self) -> Iterator[tuple[int, bytes]]:
        """Yield sequence and payload of the records that were found on opening, oldest first.

        They must not have been written over since: release none, or append nothing, until they are read.

        Raises:
            StorageError: the disk refuses.
        """
        for found in self._recovered:
            with refusals_of(self.path):
                payload = self._file.payload_of(found)
            yield found.sequence, payload

    # ---- inside

    def _recover(self) -> None:
        # What a flush could not write stays in memory, and looks as if all were well: read what the medium holds.
        self._file.forget()
        whole = sorted(self._file.scan(), key=lambda found: found.position)
        self._promise_count, promised = max(self._file.promises(), default=(0, 0))
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
            self._file.wipe(stray.position)
        self._file.sync()
        self._recovered = kept
        self._head = self._flushed = end
        self._tail = kept[0].position if kept else end
        for found in kept:
            self._newest = found.sequence
            self._mark(found.sequence, found.end)

    def _promise(self) -> None:
        """Write down how far everything is on the medium."""
        self._require_sound()
        self._promise_count += 1
        try:
            with refusals_of(self.path):
                self._file.write_promise(self._promise_count, self._flushed)
        except StorageError as error:
            self._fail(error)
            raise
        self._writes += 1
        self.written_bytes += SECTOR_BYTES

    def _mark(self, sequence: int, end: int) -> None:
        if not self._marks or end - self._marks[-1][1] >= self.capacity_bytes // _MARKS:
            self._marks.append((sequence, end))

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, failure: StorageError) -> None:
        self._failure = failure
        self._changed.notify_all()
