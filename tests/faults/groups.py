"""Control groups made for a test: memory and processor time that the kernel really withholds."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 1_000_000


class Group:
    """One group of processes, of the old kind or the new.

    Args:
        folder: where the kernel shows it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_new = (folder / "cgroup.controllers").exists()

    @property
    def entrance(self) -> tuple[str, ...]:
        """A command that runs another one inside."""
        return ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._folder / "cgroup.procs"))

    def add(self, *pids: int) -> None:
        """Move processes into it."""
        for pid in pids:
            (self._folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        """Return the processes in it."""
        return [int(pid) for pid in (self._folder / "cgroup.procs").read_text().split()]

    # ---- memory

    @property
    def memory_bytes(self) -> int:
        """Memory in use."""
        return int(self._read("memory.current" if self._is_new else "memory.usage_in_bytes"))

    def limit_memory(self, size: int | None) -> None:
        """Give it no more memory than so many bytes; None for any."""
        none = "max" if self._is_new else "-1"
        name = "memory.max" if self._is_new else "memory.limit_in_bytes"
        (self._folder / name).write_text(none if size is None else str(size))

    def memory_kills(self) -> int:
        """Return how many processes were killed because memory ran out."""
        found = re.search(r"oom_kill (\d+)", self._read("memory.events" if self._is_new else "memory.oom_control"))
        return int(found[1]) if found else 0

    # ---- processor time

    def limit_time(self, share: float | None) -> None:
        """Give it no more than a share of one processor; None for any."""
        quota = None if share is None else max(1000, round(share * PERIOD_US))
        if self._is_new:
            (self._folder / "cpu.max").write_text(f"{'max' if quota is None else quota} {PERIOD_US}")
        else:
            (self._folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self._folder / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text()


@contextmanager
def group(controller: str, needs: str) -> Iterator[Group]:
    """Make a group that is gone afterwards; skip where this machine or user cannot.

    Args:
        controller: "memory" or "cpu".
        needs: a file that it must have.
    """
    old = ROOT / controller
    folder = (old if old.is_dir() else ROOT) / f"titand-{os.getpid()}-{controller}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group for {controller} can be made: {error.strerror}")
    try:
        if not any((folder / name).exists() for name in needs.split()):
            pytest.skip(f"control groups here have no {needs}")
        yield Group(folder)
    finally:
        for pid in Group(folder).pids():
            with contextlib.suppress(OSError):
                (folder.parent / "cgroup.procs").write_text(str(pid))
        folder.rmdir()
