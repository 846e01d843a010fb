"""Files of an emulated board, replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, text: object) -> None:
    """Replace a file's content at once: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(str(text))
    os.replace(new, path)


def get(path: Path) -> str:
    """Return a file's text."""
    return path.read_text().strip()


def link(target: Path, path: Path) -> None:
    """Make a relative link, which holds where the tree is mounted as /sys too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))
