"""The files of the kernel: one small text each, which may be missing, empty, forbidden, or refuse for now."""

from __future__ import annotations

import os
from typing import NamedTuple


def read_text(path: str) -> str | None:
    """Return the file's text without its end (newline, or the zero byte of a device tree), or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip("\0\n ") or None
    except OSError:  # EAGAIN of a sensor that is powered off, EACCES, ENOENT, ENODEV: the value is not known
        return None


def read_int(path: str) -> int | None:
    """Return the file's integer, or None when it has none."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def entries(folder: str, prefix: str = "") -> list[str]:
    """Return the paths in a folder whose names begin with `prefix`, in the order of their numbers."""
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names, key=lambda name: (len(name), name))]


class Board(NamedTuple):
    """What machine this is.

    Attributes:
        model: as the device tree or the firmware says it; empty when neither does.
        l4t: release of NVIDIA's Linux for Tegra, e.g. "36.4.3"; empty elsewhere.
        kind: "jetson" or "pc".
    """

    model: str
    l4t: str
    kind: str


def identify(sys: str = "/sys", etc: str = "/etc") -> Board:
    """Return the board, from the device tree, the firmware and NVIDIA's release file.

    No reading depends on it: version tables age, and a board that nobody has heard of still has its sensors.
    """
    tree = os.path.join(sys, "firmware/devicetree/base")
    compatible = read_text(os.path.join(tree, "compatible")) or ""
    release = read_text(os.path.join(etc, "nv_tegra_release")) or ""
    is_jetson = bool(release) or "nvidia,tegra" in compatible
    model = read_text(os.path.join(tree, "model"))
    model = model or read_text(os.path.join(sys, "devices/virtual/dmi/id/product_name"))
    return Board(model or "", l4t_release(release), "jetson" if is_jetson else "pc")


def l4t_release(text: str) -> str:
    """Return the release in the text of /etc/nv_tegra_release.

    >>> l4t_release("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic")
    '36.4.3'
    """
    words = text.replace(",", " ").split()
    if len(words) < 2 or not words[1].startswith("R") or "REVISION:" not in words[:-1]:
        return ""
    return f"{words[1][1:]}.{words[words.index('REVISION:') + 1]}"
