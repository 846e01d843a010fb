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


def names(folder: Path) -> list[str]:
    """All that lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())
