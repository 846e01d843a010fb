"""Report boards: each process's newest word about itself, in shared memory, readable whatever happened to its writer.

One board per process, one writer per board, newest wins. A board has two halves: the writer fills the one that nobody
is pointed at, then points at it with one store. So the newest whole report can be read at any moment, also while the
writer is in the middle of the next one, or died there. A reader so slow that the writer came around to its half sees
a wrong checksum and looks again. No lock is held across processes, and none can be left behind by a dead one.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from titand.clock import Clock

BOARDS = ("supervisor", "front", "selector", "trainer", "telemetry", "wishes", "settings")
BOARD_BYTES = 1 << 22  # room for a value of every class; only what is written takes memory
_HEAD_BYTES = 16  # two int64: heartbeat (monotonic nanoseconds), half that holds the newest report
_BEAT, _NEWEST = 0, 1
_REPORT = struct.Struct("<qII")  # written (monotonic nanoseconds), length, crc-32
_HALF_BYTES = BOARD_BYTES // 2 - _HEAD_BYTES
_MOST_BYTES = _HALF_BYTES - _REPORT.size
_ATTEMPTS = 50


@dataclass(frozen=True)
class Report:
    """What a board says.

    Attributes:
        content: the JSON object that was written.
        written_ns: when, monotonic nanoseconds.
    """

    content: dict[str, Any]
    written_ns: int


class Boards:
    """All boards, as one process sees them.

    Args:
        descriptor: memory made by `create_boards`.
        clock: stamps reports and heartbeats.
    """

    def __init__(self, descriptor: int, clock: Clock) -> None:
        self._memory = mmap.mmap(descriptor, len(BOARDS) * BOARD_BYTES)
        # Stored through a view, in one instruction each: `struct` would first put zeros there.
        self._heads = {
            board: memoryview(self._memory)[_start_of(board) : _start_of(board) + _HEAD_BYTES].cast("q")
            for board in BOARDS
        }
        self._clock = clock

    def write(self, board: str, content: dict[str, Any]) -> None:
        """Replace what a board says, and count it as a sign of life.

        Raises:
            ValueError: the content is larger than a board.
        """
        body = json.dumps(content, separators=(",", ":")).encode()
        if len(body) > _MOST_BYTES:
            raise ValueError(f"a report of {len(body)} bytes does not fit the {board} board")
        other = 1 - self._heads[board][_NEWEST]
        half, now = _half_of(board, other), self._clock.monotonic_ns()
        self._memory[half + _REPORT.size : half + _REPORT.size + len(body)] = body
        _REPORT.pack_into(self._memory, half, now, len(body), zlib.crc32(body))
        self._heads[board][_NEWEST] = other
        self.beat(board)

    def read(self, board: str) -> Report | None:
        """Return what a board says; None before its first report."""
        head = self._heads[board]
        for _ in range(_ATTEMPTS):
            newest = head[_NEWEST]
            half = _half_of(board, newest)
            written, length, checksum = _REPORT.unpack_from(self._memory, half)
            if written == 0 and head[_NEWEST] == newest:
                return None
            body = self._memory[half + _REPORT.size : half + _REPORT.size + min(length, _MOST_BYTES)]
            if zlib.crc32(body) == checksum:
                return Report(json.loads(body), written)
        return None  # written faster than we can read

    def beat(self, board: str) -> None:
        """Give a sign of life without a report."""
        self._heads[board][_BEAT] = self._clock.monotonic_ns()

    def silence_ns(self, board: str) -> int | None:
        """Return how long a board's writer has given no sign of life; None if it never gave one."""
        beat = self._heads[board][_BEAT]
        return self._clock.monotonic_ns() - beat if beat else None

    def end(self, board: str) -> None:
        """Note that a board's writer is dead: what it said stays, but its signs of life are not its successor's."""
        self._heads[board][_BEAT] = 0

    def clear(self, board: str) -> None:
        """Forget what a board says, before a new writer starts."""
        for half in (0, 1):
            _REPORT.pack_into(self._memory, _half_of(board, half), 0, 0, 0)
        self.end(board)


def create_boards() -> int:
    """Make the memory for all boards and return its descriptor."""
    descriptor = os.memfd_create("titand-boards", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, len(BOARDS) * BOARD_BYTES)
    return descriptor


def _start_of(board: str) -> int:
    return BOARDS.index(board) * BOARD_BYTES


def _half_of(board: str, half: int) -> int:
    return _start_of(board) + _HEAD_BYTES + half * _HALF_BYTES


class Memory:
    """Some bytes that outlive their writer: newest wins, checked on reading like a board.

    Args:
        descriptor: memory made by `create_memory`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, content: bytes) -> None:
        """Replace the content."""
        os.ftruncate(self._descriptor, max(os.fstat(self._descriptor).st_size, _REPORT.size + len(content)))
        os.pwrite(self._descriptor, content, _REPORT.size)
        os.pwrite(self._descriptor, _REPORT.pack(0, len(content), zlib.crc32(content)), 0)

    def read(self) -> bytes | None:
        """Return the content; None if there is none, or its writer died half-way."""
        head = os.pread(self._descriptor, _REPORT.size, 0)
        if len(head) < _REPORT.size:
            return None
        _, length, checksum = _REPORT.unpack(head)
        content = os.pread(self._descriptor, length, _REPORT.size)
        return content if zlib.crc32(content) == checksum else None


def create_memory() -> int:
    """Make an empty memory and return its descriptor."""
    return os.memfd_create("titand-memory", os.MFD_CLOEXEC)
