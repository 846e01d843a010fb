"""The data sets of demo and benchmarks, each split into what is streamed and what the model never sees."""

from __future__ import annotations

import io
import lzma
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titand.demo import files
from titand.demo.files import Samples
from titand.errors import NotFound

HERE = Path(__file__).parent
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it
FASHION_NAMES = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
MOTIONSENSE = "motionsense-9axis-50hz.npz.xz"
MOTIONSENSE_SHA256 = "9f971c876814205c21b75ee28126ad4404e0537f82a4e4024c3992285b90d2f6"
WINDOW = 100  # 2 s at 50 Hz: 100 x 9 readings are the 900 features of the paper's HAR task


@dataclass(frozen=True)
class Dataset:
    """A data set for a stream and for judging what it taught.

    Attributes:
        name: as given to `load`.
        train: what is streamed.
        test: what is never streamed.
        split: how the two differ, for the reader of an accuracy.
        floor: the accuracy below which something must be broken.
    """

    name: str
    train: Samples
    test: Samples
    split: str
    floor: float

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation over all values of the training part."""
        value = self.train.input
        return float(value.mean(dtype=np.float64)), float(value.std(dtype=np.float64))


def load(name: str) -> Dataset:
    """Load "digits", "fashion-mnist", "motionsense", or the file or folder of that path.

    MotionSense is looked for in the folder named by TITAND_DATA, or in the present one.

    Raises:
        NotFound: the data set is not on this machine; the remedy says how to get it.
        InvalidRequest, CorruptFile: the file does not hold labelled samples.
    """
    if name == "digits":
        return digits()
    if name == "fashion-mnist":
        return fashion_mnist(FASHION_MNIST)
    if name == "motionsense":
        return motionsense(Path(os.environ.get("TITAND_DATA", ".")) / MOTIONSENSE)
    path = Path(name)
    if path.name == MOTIONSENSE:
        return motionsense(path)
    train, test = shuffled_split(files.read(path), 0.2, seed=0)
    commonest = float(np.bincount(test.label).max()) / len(test) if len(test) else 1.0
    return Dataset(path.name, train, test, "a fifth of the samples, by chance", floor=commonest)


def digits() -> Dataset:
    """The 1,797 handwritten digits of the package, 1x8x8, values 0 to 16.

    They come in the order of their writers, so the last fifth is mostly by people never streamed.
    (A shuffled split would flatter any model: 98 % where this one gives 91 %.)
    """
    samples = files.read(HERE / "digits-images-idx3-ubyte.gz")
    cut = len(samples) * 4 // 5
    return Dataset("digits", samples.at(slice(cut)), samples.at(slice(cut, None)), "the last writers' digits", 0.85)


def fashion_mnist(folder: Path) -> Dataset:
    """Fashion-MNIST, 1x28x28, with its official split."""
    if not folder.is_dir():
        raise NotFound(
            "DATA_NOT_FOUND",
            f"{folder}: Fashion-MNIST is not here.",
            "Run: apt-get install dataset-fashion-mnist",
        )
    train, test = (
        Samples(part.input, part.label, FASHION_NAMES)
        for part in (files.read(folder / f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k"))
    )
    return Dataset("fashion-mnist", train, test, "the official test images", 0.7)


def motionsense(path: Path) -> Dataset:
    """Six activities as 900 features: 2 s of gravity, rotation and acceleration from 24 people's pockets.

    Every fourth person is held back whole, so no one is on both sides.
    """
    content = files.checked(path, MOTIONSENSE_SHA256)
    with np.load(io.BytesIO(lzma.decompress(content)), allow_pickle=False) as archive:
        recording = {name: archive[name] for name in archive.files}
    # int16 differences along time; the running sum wraps around on purpose.
    reading = np.cumsum(recording["delta"], axis=1, dtype=np.int16).T / recording["scale"]
    start, stop = recording["offset"][:-1], recording["offset"][1:]
    cut = [(i, at) for i in range(len(start)) for at in range(start[i], stop[i] - WINDOW + 1, WINDOW)]
    value = np.stack([reading[at : at + WINDOW] for _, at in cut]).astype(np.float32).reshape(len(cut), -1)
    owner = np.array([i for i, _ in cut])
    label, person = recording["label"][owner].astype(np.int64), recording["subject"][owner]
    samples = Samples(value, label, tuple(str(name) for name in recording["names"]))
    is_test = np.isin(person, np.unique(person)[::4])
    order = np.random.default_rng(0).permutation(np.flatnonzero(~is_test))  # recordings hold one activity each
    return Dataset("motionsense", samples.at(order), samples.at(np.flatnonzero(is_test)), "people never streamed", 0.7)


def shuffled_split(samples: Samples, share: float, seed: int) -> tuple[Samples, Samples]:
    """Split by chance; the second part gets that share.

    Example:
        >>> ten = Samples(np.arange(10), np.zeros(10, np.int64), ("zero",))
        >>> [len(part) for part in shuffled_split(ten, 0.2, seed=1)]
        [8, 2]
    """
    order: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(samples))
    cut = len(samples) - round(share * len(samples))
    return samples.at(order[:cut]), samples.at(order[cut:])
