"""HARBOX: five activities of 121 people, 2 s of nine axes at 50 Hz in 900 numbers (X. Ouyang et al., MobiSys 2021)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from titand.demo.data import Dataset
from titand.demo.files import Samples
from titand.errors import CorruptFile, NotFound

FEATURES = 900
HELD_BACK = 4  # every fourth person is never streamed


def from_folder(path: Path) -> Dataset:
    """Read `large_scale_HARBox`: a folder for each person, in it one text file for each activity, a line a sample.

    Activities are what the files are named before the first underscore. A line may have more than 900 numbers (a time
    stamp in front); the last 900 are taken. People are split, never samples.

    Raises:
        NotFound: the folder holds no such files.
        CorruptFile: a line has less than 900 numbers.
    """
    files = sorted(path.glob("*/*.txt"))
    if not files:
        raise NotFound("DATA_NOT_FOUND", f"{path}: no person has a file of samples.", "Unpack large_scale_HARBox.zip.")
    names = sorted({activity(file) for file in files})
    people = sorted({file.parent.name for file in files}, key=lambda name: (len(name), name))
    value, label, person = [], [], []
    for file in files:
        rows = np.loadtxt(file, dtype=np.float32, ndmin=2, delimiter="," if "," in _first_line(file) else None)
        if rows.shape[1] < FEATURES:
            raise CorruptFile("DATA_BROKEN", f"{file}: {rows.shape[1]} numbers a line.", "Each needs 900 or more.")
        value.append(rows[:, -FEATURES:])
        label.append(np.full(len(rows), names.index(activity(file))))
        person.append(np.full(len(rows), people.index(file.parent.name)))
    samples = Samples(np.concatenate(value), np.concatenate(label).astype(np.int64), tuple(names))
    is_test = np.concatenate(person) % HELD_BACK == 0
    order = np.random.default_rng(0).permutation(np.flatnonzero(~is_test))
    return Dataset("harbox", samples.at(order), samples.at(np.flatnonzero(is_test)), "people never streamed", floor=0.3)


def activity(file: Path) -> str:
    """Return the activity that a file is of.

    >>> activity(Path("12/Walk_train.txt"))
    'walk'
    """
    return file.stem.split("_")[0].lower()


def _first_line(file: Path) -> str:
    with file.open() as lines:
        return lines.readline()
