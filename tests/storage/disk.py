"""Disks that fail: at a chosen step, or for real."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class PowerCut(BaseException):
    """The machine stops here: no `except Exception` runs any more."""


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, nth: int, error: BaseException) -> Callable[[], int]:
    """Let the n-th call of `os.<name>` from now on raise `error`; return a function that counts the calls."""
    calls = 0
    real = getattr(os, name)

    def call(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(os, name, call)
    return lambda: calls


@contextlib.contextmanager
def mounted_tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small file system on `folder`; skip the test where that is not allowed."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"needs root to mount: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


class ThinDisk:
    """An ext4 whose device, a file with holes, lies on a file system that can be left without room to fill them.

    So it has free space by its own account, and what the kernel has taken fails when it is flushed: a real failing
    fsync, as on thin-provisioned storage.
    """

    SIZE_BYTES, SPARE_BYTES = 24 << 20, 64 << 20

    def __init__(self, folder: Path) -> None:
        self._below, self.folder = folder / "below", folder / "disk"
        self._image, self._ballast = self._below / "image", self._below / "ballast"
        for each in (self._below, self.folder):
            each.mkdir()

    def mount(self) -> None:
        """Make it; skip the test where that is not allowed."""
        with open(self._image, "wb") as file:
            file.truncate(self.SIZE_BYTES)
        # All that ext4 writes about files is there from the start: only their contents can fail.
        make = ["mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0", self._image]
        for command in (make, ["mount", "-o", "loop,errors=continue", self._image, self.folder]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"needs root and loop devices: {done.stderr.strip()}")

    def run_dry(self) -> None:
        """Let every flush of new blocks fail from now on."""
        os.sync()
        with open(self._ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def refill(self) -> None:
        """Let them succeed again."""
        self._ballast.unlink()


@contextlib.contextmanager
def thin_disk(folder: Path) -> Iterator[ThinDisk]:
    """Give a disk whose flushes fail when told to; skip the test where there can be none."""
    disk = ThinDisk(folder)
    with mounted_tmpfs(disk._below, f"size={disk.SPARE_BYTES}"):
        try:
            disk.mount()
            yield disk
        finally:
            subprocess.run(["umount", disk.folder], capture_output=True)


def names(folder: Path) -> list[str]:
    """All that lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())
