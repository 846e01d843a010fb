"""A disk that fails on command, and heals: a mounted ext4 whose medium refuses what it is told to refuse."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.disks import Disk, run

# A journal that cannot be written, or metadata that cannot be read, makes the file system read-only, which is another
# fault: no journal is written every 5 seconds, and what cannot be read stays an error of that call.
PATIENT = "commit=600,errors=continue"

# What fails -> what blkdebug is told. A flush that fails cannot be healed: qemu flushes when it is switched back.
RULES: Mapping[str, list[dict[str, Any]]] = {
    "write": [{"iotype": "write", "errno": errno.EIO}],
    "one write": [{"iotype": "write", "errno": errno.EIO, "once": True}],
    "space": [{"iotype": "write", "errno": errno.ENOSPC}],
    "read": [{"iotype": "read", "errno": errno.EIO}],
    "everything": [{"iotype": kind, "errno": errno.EIO} for kind in ("read", "write")],
    "flush": [{"iotype": "flush", "errno": errno.EIO}],
}


class FlakyDisk(Disk):
    """A disk that fails on command.

    Args:
        folder: for everything.
        megabytes: of the disk.
    """

    def __init__(self, folder: Path, megabytes: int = 24) -> None:
        nodes = [_failing(name, rules) for name, rules in RULES.items()]
        super().__init__(folder, [*nodes, _top("image")], megabytes, PATIENT)

    def fail(self, what: str) -> None:
        """Let requests fail from now on, see `RULES`."""
        self.tell("blockdev-reopen", options=[_top(_name(what))])

    def fail_sectors(self, file: Path) -> None:
        """Let the first sectors of a file be unreadable from now on, and all else be well."""
        place = re.search(r"^ +0: +\d+\.\. +\d+: +(\d+)\.\.", run("filefrag", "-v", "-b512", file), re.MULTILINE)
        assert place, "the file has no place on the disk"
        what = f"sector {place[1]}"
        rules = [{"iotype": "read", "errno": errno.EIO, "sector": int(place[1])}]
        self.tell("blockdev-add", **_failing(what, rules))
        self.fail(what)
        run("blockdev", "--flushbufs", self.device)
        for each in (file, self.export):
            with open(each, "rb") as held:
                os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def heal(self) -> None:
        """Let nothing fail any more."""
        self.tell("blockdev-reopen", options=[_top("image")])


def _name(what: str) -> str:
    return f"bad-{what.replace(' ', '-')}"


def _top(file: str) -> dict[str, Any]:
    return {"driver": "raw", "node-name": "top", "file": file}


def _failing(what: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [{"event": "none", **rule} for rule in rules]
    return {"driver": "blkdebug", "node-name": _name(what), "image": "image", "inject-error": errors}
