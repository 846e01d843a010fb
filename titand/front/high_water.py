"""How far numbers were given, so that what a crash takes is counted, and no number is given twice.

Two marks, for two kinds of end. A page in the runtime folder, which lies in memory, has the counters of the door at
each moment: it outlives every process, costs the medium nothing, and makes the count exact after a kill of everything.
A file in the state folder says up to which number some may have been given; it is written ahead, in steps of some ten
minutes, and outlives a power cut: the count is then an upper bound. With a log of samples the second mark is not
needed: nothing that was acknowledged is lost.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from titand.clock import Clock
from titand.errors import TitanError
from titand.runtime.counters import ACCEPTED, PUSHED, REJECTED, SHED
from titand.runtime.log import Log
from titand.storage.files import publish

LEAST_STEP = 1000  # numbers
SHORT_SECONDS, LONG_SECONDS = 300.0, 1800.0  # a step that lasts less is doubled, one that lasts longer is halved

_PAGE_BYTES = 4096
_HEAD_BYTES = 128  # whose page it is: the state folder's id and this boot's
_COUNTS = struct.Struct("<6q")  # how many notes, pushed, shed, rejected, accepted, sum of them all
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Reached:
    """What was given before this start.

    Attributes:
        is_exact: whether these are the counts, and not bounds that they do not exceed.
    """

    shed: int
    rejected: int
    accepted: int
    is_exact: bool


class HighWater:
    """Both marks. Not thread-safe: the ledger has the lock.

    Args:
        page_path: in the runtime folder.
        mark_path: in the state folder.
        writes_ahead: whether the second mark is kept.
        clock: measures how long a step lasts.
        log: lines for people.
    """

    def __init__(self, page_path: Path, mark_path: Path, writes_ahead: bool, clock: Clock, log: Log) -> None:
        self._mark_path = mark_path
        self._writes_ahead = writes_ahead
        self._clock = clock
        self._log = log
        self._step = LEAST_STEP
        self._stepped_ns = clock.monotonic_ns()
        self._id, self._reserved = self._read_mark()
        self._page = _map(page_path)
        self._notes = 0

    def reached(self) -> Reached | None:
        """Return how far numbers were given before this start, if more is known than the ledger says itself."""
        if self._page[:_HEAD_BYTES] == self._owner():
            known = max((place for place in (0, 1) if self._is_whole(place)), key=self._fields_at, default=None)
            if known is not None:
                _, _, shed, rejected, accepted, _ = self._fields_at(known)
                return Reached(shed, rejected, accepted, is_exact=True)
        return Reached(0, 0, self._reserved, is_exact=False) if self._writes_ahead else None

    def begin(self, counters: Sequence[int]) -> None:
        """Take over the page and the file, once it is known how far it went."""
        self._page[_HEAD_BYTES:] = bytes(_PAGE_BYTES - _HEAD_BYTES)
        self._page[:_HEAD_BYTES] = self._owner()
        self.note(counters)
        self._write_mark(counters[ACCEPTED] + self._step)

    def note(self, counters: Sequence[int]) -> None:
        """Take down what the ledger has counted; every number in it must have been allowed."""
        self._notes += 1
        fields = self._notes, *(counters[place] for place in (PUSHED, SHED, REJECTED, ACCEPTED))
        _COUNTS.pack_into(self._page, self._place(self._notes % 2), *fields, sum(fields))

    def allow(self, number: int) -> None:
        """See to it that numbers up to this one may be given; where the disk refuses, they are given all the same."""
        if number <= self._reserved or not self._writes_ahead:
            return
        lasted = (self._clock.monotonic_ns() - self._stepped_ns) / 1e9
        self._stepped_ns = self._clock.monotonic_ns()
        if lasted < SHORT_SECONDS:
            self._step *= 2
        elif lasted > LONG_SECONDS:
            self._step = max(LEAST_STEP, self._step // 2)
        self._write_mark(number + self._step)

    def end(self, counters: Sequence[int]) -> None:
        """Give no more numbers: after an orderly stop nothing is to be taken for lost."""
        self.note(counters)
        self._write_mark(counters[ACCEPTED])

    def _read_mark(self) -> tuple[str, int]:
        try:
            mark = json.loads(self._mark_path.read_bytes())
            return str(mark["id"]), int(mark["reserved"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.error("how far numbers were given is not known", path=self._mark_path, why=error)
        return secrets.token_hex(16), 0

    def _write_mark(self, reserved: int) -> None:
        self._reserved = reserved
        content = json.dumps({"id": self._id, "reserved": reserved if self._writes_ahead else 0}).encode()
        try:
            publish(self._mark_path, [content])
        except TitanError as error:
            self._log.error("numbers cannot be reserved", reason=error.reason, message=str(error))

    def _owner(self) -> bytes:
        return f"titand {self._id} {_BOOT.read_text().strip()}".encode().ljust(_HEAD_BYTES, b"\0")

    def _place(self, half: int) -> int:
        return _HEAD_BYTES + half * _COUNTS.size

    def _fields_at(self, half: int) -> tuple[int, ...]:
        return _COUNTS.unpack_from(self._page, self._place(half))

    def _is_whole(self, half: int) -> bool:
        *fields, total = self._fields_at(half)
        return fields[0] > 0 and sum(fields) == total


def _map(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.ftruncate(descriptor, _PAGE_BYTES)
        return mmap.mmap(descriptor, _PAGE_BYTES)
    finally:
        os.close(descriptor)
