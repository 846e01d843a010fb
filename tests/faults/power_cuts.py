"""Power cuts: what a medium may hold when the power goes, for a real ext4 under a real workload.

All writes and flushes that reach the medium are logged. A state after a cut holds every write up to the last flush
before it, and of the later ones an arbitrary part: some whole, some missing, some torn, in whatever order. That is what
a medium with a write cache may do; one that honours no flush is beyond what any program can bear.
"""

# The log is qemu's blklogwrites, the format of Linux' dm-log-writes: a superblock, then for each request a sector with
# what it was, and its data.

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.disks import Disk, run

SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
MISSING, TORN = 0.4, 0.3  # shares of the writes since the last flush


@dataclass(frozen=True)
class Request:
    """What reached the medium: `bytes` at `offset`, or nothing and a flush; its data lies at `place` of the log."""

    offset: int
    bytes: int
    flags: int
    place: int


class RecordedDisk(Disk):
    """A disk that writes down what reaches its medium.

    Args:
        folder: for everything.
        megabytes: of the disk.
    """

    def __init__(self, folder: Path, megabytes: int = 24) -> None:
        self._log = folder / "log"
        nodes: list[Mapping[str, object]] = [
            {"driver": "file", "node-name": "log", "filename": str(self._log)},
            {"driver": "blklogwrites", "node-name": "top", "file": "image", "log": "log",
             "log-super-update-interval": 1},
        ]  # fmt: skip
        super().__init__(folder, nodes, megabytes)

    def __enter__(self) -> RecordedDisk:
        self._log.touch()
        super().__enter__()
        return self

    def mount(self) -> None:
        """Keep what was there before the first write, and mount it."""
        self._before = self.work / "before"
        run("cp", "--sparse=always", self.image, self._before)
        super().mount()

    @property
    def position(self) -> int:
        """How many requests have reached the medium."""
        with open(self._log, "rb") as log:
            return int(SUPER.unpack(log.read(SUPER.size))[2])

    def requests(self) -> list[Request]:
        """Return all that has reached the medium, in order."""
        found = []
        with open(self._log, "rb") as log:
            magic, _, count, sector = SUPER.unpack(log.read(SUPER.size))
            assert magic == MAGIC
            place = sector
            for _ in range(count):
                log.seek(place)
                start, length, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
                size = 0 if flags & DISCARD else length * sector
                found.append(Request(start * sector, size, flags, place + sector))
                place += sector + size
        return found

    def cut(self, requests: list[Request], position: int, tear_bytes: int, dice: random.Random) -> Path:
        """Return an image of what the medium may hold if the power goes after so many requests.

        Args:
            requests: all of them.
            position: how many the medium has seen.
            tear_bytes: what the medium writes as one: 4096 for most, 512 for the worst.
            dice: decide what becomes of what was not flushed.
        """
        image = self.work / "cut"
        run("cp", "--sparse=always", self._before, image)
        flushed = max((number for number in range(position) if requests[number].flags & FLUSH), default=0)
        with open(self._log, "rb") as log, open(image, "r+b") as medium:
            for number, request in enumerate(requests[:position]):
                log.seek(request.place)
                data = log.read(request.bytes)
                if number < flushed or request.flags & FUA:
                    pieces = [(0, data)]
                else:
                    pieces = _what_is_left(data, tear_bytes, dice)
                for offset, piece in pieces:
                    medium.seek(request.offset + offset)
                    medium.write(piece)
        return image


def _what_is_left(data: bytes, tear_bytes: int, dice: random.Random) -> list[tuple[int, bytes]]:
    fate = dice.random()
    if fate < MISSING:
        return []
    if fate > MISSING + TORN:
        return [(0, data)]
    units = range(0, len(data), tear_bytes)
    return [(offset, data[offset : offset + tear_bytes]) for offset in units if dice.random() < 0.5]
