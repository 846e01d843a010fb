"""Report boards: each process's newest word about itself, in shared memory, readable whatever happened to its writer.

One board per process, one writer per board, newest wins. A reader that comes while the writer writes sees a wrong
checksum and looks again; so no lock is held across processes, and none can be left behind by a dead one.
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
BOARD_BYTES = 1 << 17
_HEAD = struct.Struct("<qqII")  # heartbeat, written (monotonic nanoseconds), length, crc-32
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
        self._clock = clock

    def write(self, board: str, content: dict[str, Any]) -> None:
        """Replace what a board says, and count it as a sign of life.

        Raises:
            ValueError: the content is larger than a board.
        """
        body = json.dumps(content, separators=(",", ":")).encode()
        if len(body) > BOARD_BYTES - _HEAD.size:
            raise ValueError(f"a report of {len(body)} bytes does not fit the {board} board")
        start = BOARDS.index(board) * BOARD_BYTES
        now = self._clock.monotonic_ns()
        self._memory[start + _HEAD.size : start + _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._memory, start, now, now, len(body), zlib.crc32(body))

    def read(self, board: str) -> Report | None:
        """Return what a board says; None before its first report."""
        start = BOARDS.index(board) * BOARD_BYTES
        for _ in range(_ATTEMPTS):
            _, written, length, checksum = _HEAD.unpack_from(self._memory, start)
            if written == 0:
                return None
            body = self._memory[start + _HEAD.size : start + _HEAD.size + min(length, BOARD_BYTES)]
            if zlib.crc32(body) == checksum:
                return Report(json.loads(body), written)
        return None  # its writer died half-way; the next one will write anew

    def beat(self, board: str) -> None:
        """Give a sign of life without a report."""
        struct.pack_into("<q", self._memory, BOARDS.index(board) * BOARD_BYTES, self._clock.monotonic_ns())

    def silence_ns(self, board: str) -> int | None:
        """Return how long a board's writer has given no sign of life; None if it never gave one."""
        beat = struct.unpack_from("<q", self._memory, BOARDS.index(board) * BOARD_BYTES)[0]
        return self._clock.monotonic_ns() - beat if beat else None

    def clear(self, board: str) -> None:
        """Forget what a board says, before a new writer starts."""
        start = BOARDS.index(board) * BOARD_BYTES
        _HEAD.pack_into(self._memory, start, 0, 0, 0, 0)


def create_boards() -> int:
    """Make the memory for all boards and return its descriptor."""
    descriptor = os.memfd_create("titand-boards", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, len(BOARDS) * BOARD_BYTES)
    return descriptor


class Memory:
    """Some bytes that outlive their writer: newest wins, checked on reading like a board.

    Args:
        descriptor: memory made by `create_memory`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, content: bytes) -> None:
        """Replace the content."""
        os.ftruncate(self._descriptor, max(os.fstat(self._descriptor).st_size, _HEAD.size + len(content)))
        os.pwrite(self._descriptor, content, _HEAD.size)
        os.pwrite(self._descriptor, _HEAD.pack(0, 0, len(content), zlib.crc32(content)), 0)

    def read(self) -> bytes | None:
        """Return the content; None if there is none, or its writer died half-way."""
        head = os.pread(self._descriptor, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return None
        _, _, length, checksum = _HEAD.unpack(head)
        content = os.pread(self._descriptor, length, _HEAD.size)
        return content if zlib.crc32(content) == checksum else None


def create_memory() -> int:
    """Make an empty memory and return its descriptor."""
    return os.memfd_create("titand-memory", os.MFD_CLOEXEC)
