"""Labelled samples from files of the common kinds: IDX, .npz, .csv, a folder of images for each class.

Values come out as they are in the file, in a type that can be pushed: bytes stay bytes, wide floats become float32.
Nothing is scaled; that is the model's business.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titand.errors import CorruptFile, InvalidRequest, NotFound

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
INPUT_NAMES = ("x", "input", "data", "images")
LABEL_NAMES = ("y", "label", "labels", "target")


@dataclass(frozen=True)
class Samples:
    """Inputs with their labels.

    Attributes:
        input: [N, ...] uint8, int16, float16 or float32; images are [N, channel, height, width].
        label: [N] int64, each below the number of class names.
        class_names: one name for each label.
    """

    input: NDArray[np.generic]
    label: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def at(self, index: NDArray[np.int64] | slice) -> Samples:
        """Return the samples at these positions."""
        return Samples(self.input[index], self.label[index], self.class_names)


def read(path: Path, image_size: int = 32) -> Samples:
    """Read labelled samples, in the order of the file.

    Args:
        path: an IDX file of images (its labels lie beside it), a .npz with arrays `x` and `y`,
            a .csv whose last column, or the one headed "label", is the label, or a folder with a folder of
            images for each class.
        image_size: height and width that pictures of a folder are brought to; the other kinds keep theirs.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: the file is of another kind, or does not hold labelled samples.
        CorruptFile: the file breaks off, or contradicts itself.
    """
    if not path.exists():
        raise NotFound("DATA_NOT_FOUND", f"{path}: there is no such file.", "Check the path.")
    if path.is_dir():
        return read_folder(path, image_size)
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix == ".csv":
        return read_csv(path)
    if "-images-idx" in path.name or "-images.idx" in path.name:
        return read_idx_pair(path, path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1")))
    raise InvalidRequest(
        "DATA_KIND_UNKNOWN",
        f"{path}: not a kind of file that holds labelled samples.",
        "Give a folder with a folder of images for each class, a .npz, a .csv, or IDX: *-images-idx3-ubyte.",
    )


def checked(path: Path, sha256: str) -> bytes:
    """Return the bytes of a file that must be exactly the one meant.

    Raises:
        NotFound: there is no such file.
        CorruptFile: its SHA-256 is another one.
    """
    if not path.is_file():
        raise NotFound("DATA_NOT_FOUND", f"{path}: there is no such file.", f"Its SHA-256 is {sha256}.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CorruptFile("CHECKSUM_MISMATCH", f"{path}: the checksum is not {sha256}.", "Fetch the file again.")
    return content


def read_idx(path: Path) -> NDArray[np.generic]:
    """Return the array in an IDX file, gzipped or not, in the byte order of this machine."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("DATA_NOT_FOUND", f"{path}: there is no such file.", "Check the path.") from error
    except (OSError, EOFError) as error:
        raise CorruptFile("IDX_BROKEN", f"{path}: {error}.", "Fetch the file again.") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise CorruptFile("IDX_BROKEN", f"{path}: not an IDX file.", "Fetch the file again.")
    dtype, rank = np.dtype(IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank))
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(content) != start + size:
        raise CorruptFile(
            "IDX_BROKEN",
            f"{path}: the header announces {start + size} bytes, the file has {len(content)}.",
            "Fetch the file again.",
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_idx_pair(images: Path, labels: Path) -> Samples:
    """Read inputs and their labels from two files."""
    return labelled(images, read_idx(images), read_idx(labels))


def read_npz(path: Path) -> Samples:
    """Read the arrays `x` and `y` (or by other usual names) of an archive. Pickled objects are refused."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            array = {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise CorruptFile("NPZ_BROKEN", f"{path}: {error}.", "Write it with numpy.savez.") from error
    input_name = next((name for name in INPUT_NAMES if name in array), None)
    label_name = next((name for name in LABEL_NAMES if name in array), None)
    if input_name is None or label_name is None:
        raise InvalidRequest(
            "DATA_WITHOUT_LABELS",
            f"{path}: holds {', '.join(array) or 'nothing'}; inputs and labels are needed.",
            "Name them x and y: numpy.savez(path, x=..., y=...).",
        )
    return labelled(path, array[input_name], array[label_name])


def read_csv(path: Path) -> Samples:
    """Read rows of numbers with a label in the last column, or in the one headed "label"."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise InvalidRequest("DATA_EMPTY", f"{path}: there are no rows.", "Give a file with samples.")
    header = [cell.strip().lower() for cell in rows[0]]
    column = header.index("label") if "label" in header else len(header) - 1
    if not all(is_number(cell) for i, cell in enumerate(header) if i != column):
        rows = rows[1:]
    value = np.empty((len(rows), len(header) - 1), np.float32)
    for i, row in enumerate(rows):
        try:
            value[i] = [float(cell) for cell in row[:column] + row[column + 1 :]]
            row[column] = row[column].strip()
        except (ValueError, IndexError) as error:
            raise InvalidRequest(
                "CSV_ROW",
                f"{path}: sample {i + 1}: {error}.",
                f"Each row needs {len(header) - 1} numbers and a label.",
            ) from error
    return labelled(path, value, np.array([row[column] for row in rows]))


def read_folder(path: Path, image_size: int) -> Samples:
    """Read the pictures below one folder for each class; grey if all of them are, else red, green, blue."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidRequest("PILLOW_MISSING", "Reading pictures needs Pillow.", "Run: pip install pillow") from error
    folders = sorted(each for each in path.iterdir() if each.is_dir())
    found = [
        (file, label)
        for label, folder in enumerate(folders)
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not found:
        raise InvalidRequest(
            "DATA_EMPTY", f"{path}: no pictures in folders.", "Make a folder for each class, pictures inside."
        )
    pictures = []
    for file, _ in found:
        try:
            with Image.open(file) as image:
                pictures.append(image.convert("L" if image.mode in ("1", "L") else "RGB").resize((image_size,) * 2))
        except OSError as error:
            raise CorruptFile("IMAGE_BROKEN", f"{file}: {error}.", "Remove or replace the picture.") from error
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    pixel = np.stack([np.asarray(picture.convert(mode)) for picture in pictures])
    pixel = pixel[:, None] if mode == "L" else pixel.transpose(0, 3, 1, 2)
    label = np.array([each for _, each in found], np.int64)
    return Samples(np.ascontiguousarray(pixel), label, tuple(folder.name for folder in folders))


def labelled(path: Path, value: NDArray[np.generic], label: NDArray[np.generic]) -> Samples:
    """Return samples whose labels count from 0, with their names.

    Labels that are whole numbers from 0 keep their value; all others are numbered in sorted order.
    """
    if label.ndim != 1 or len(label) != len(value) or not len(label):
        raise InvalidRequest(
            "DATA_WITHOUT_LABELS",
            f"{path}: {len(value)} inputs and labels of shape {label.shape}; each input needs one label.",
            "Give as many labels as inputs.",
        )
    if value.dtype.kind not in "biuf":
        raise InvalidRequest(
            "DATA_NOT_NUMBERS", f"{path}: inputs are {value.dtype}, not numbers.", "Give integers or floats."
        )
    value = pushable(value)
    if label.dtype.kind in "US" and all(each.isdecimal() for each in label.astype(str)):
        label = label.astype(np.int64)
    if label.dtype.kind in "iu" and label.min() >= 0 and label.max() < len(label):
        number = label.astype(np.int64)
        return Samples(value, number, tuple(str(each) for each in range(int(number.max()) + 1)))
    names, number = np.unique(label, return_inverse=True)
    return Samples(value, number.astype(np.int64).reshape(-1), tuple(str(name) for name in names))


def pushable(value: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return values in a type that titand takes, the smallest that holds them; images with the channel first.

    Example:
        >>> pushable(np.zeros((2, 8, 8, 3), np.int64)).shape, pushable(np.array([300])).dtype
        ((2, 3, 8, 8), dtype('int16'))
    """
    if value.dtype.kind in "biu":
        low, high = (value.min(), value.max()) if value.size else (0, 0)
        fitting = (each for each in (np.uint8, np.int16) if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
        value = value.astype(next(fitting, np.float32), copy=False)
    elif value.dtype != np.float16:
        value = value.astype(np.float32, copy=False)
    if value.ndim == 3:
        return value[:, None]
    if value.ndim == 4 and value.shape[3] in (1, 3) and value.shape[1] not in (1, 3):
        return np.ascontiguousarray(value.transpose(0, 3, 1, 2))
    return value


def is_number(text: str) -> bool:
    """Return whether a cell of a table is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
