"""The data of the benchmarks, by name. Nothing is fetched: what is missing is named, with how to get it."""

from __future__ import annotations

import os
from pathlib import Path

from titand.demo import data
from titand.demo.data import Dataset

FOLDER = "TITAND_DATA"


def load(name: str) -> Dataset:
    """Load "digits", "fashion-mnist" or "motionsense"."""
    return data.load(name)


def folder() -> Path:
    """Return where data are looked for."""
    return Path(os.environ.get(FOLDER, "."))
