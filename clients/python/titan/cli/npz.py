"""Samples from an .npz file: one array of samples, one of labels."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zipfile import BadZipFile

from titan.cli.output import Misused
from titan.cli.target import Piece, Target


def count(path: str, labels_key: str) -> int:
    """Return how many samples there are."""
    with _open(path) as file:
        return len(_array(file, labels_key, path))


def pieces(path: str, target: Target, samples_key: str, labels_key: str) -> Iterator[Piece]:
    """Yield the samples in the order of the file.

    Args:
        path: of the file.
        target: what the daemon takes.
        samples_key: the array of samples, [N, ...].
        labels_key: the array of labels, [N]: integers are class ids, strings are class names.
    """
    import numpy

    with _open(path) as file:
        samples, labels = _array(file, samples_key, path), _array(file, labels_key, path)
    if len(samples) != len(labels):
        raise Misused(f"{path}: '{samples_key}' has {len(samples)} samples, '{labels_key}' {len(labels)} labels")
    target.require_shape(samples.shape[1:], path)
    ids = _ids(labels, target, path)
    for begin in range(0, len(samples), target.piece_count):
        some = samples[begin : begin + target.piece_count]
        with numpy.errstate(invalid="ignore"):
            converted = some.astype(numpy.dtype(target.spec.data_type).newbyteorder("<"))
            if not target.forced and not numpy.array_equal(converted, some, equal_nan=some.dtype.kind == "f"):
                raise target.inexact(path)
        yield Piece(converted.tobytes(), ids[begin : begin + len(some)])


def _ids(labels: Any, target: Target, path: str) -> list[int]:
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        return [int(label) for label in labels]
    if labels.ndim == 1 and labels.dtype.kind in "US":
        return [target.label(str(label), path) for label in labels.astype(str)]
    raise Misused(f"{path}: labels are {labels.dtype}{list(labels.shape)}; class ids or names [N] are needed")


def _array(file: Any, key: str, path: str) -> Any:
    if key not in file.files:
        raise Misused(f"{path}: has no array '{key}' but {', '.join(file.files)}; say --samples and --labels")
    try:
        array = file[key]
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:  # damaged, or objects to be unpickled
        raise Misused(f"{path}: '{key}' cannot be read ({error})") from None
    if array.ndim == 0:
        raise Misused(f"{path}: '{key}' is a single value; an array [N, ...] is needed")
    return array


@contextmanager
def _open(path: str) -> Iterator[Any]:
    try:
        import numpy
    except ImportError:
        raise Misused("reading .npz takes numpy: pip install numpy") from None
    with open(path, "rb") as raw:  # numpy forgets to close what it cannot read
        try:
            file = numpy.load(raw, allow_pickle=False)
        except (ValueError, OSError, EOFError, BadZipFile) as error:
            raise Misused(f"{path}: is no .npz file ({error})") from None
        if not isinstance(file, numpy.lib.npyio.NpzFile):
            raise Misused(f"{path}: is a single array, no .npz file")
        with file:
            yield file
