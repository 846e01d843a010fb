"""Samples from a folder with a folder of images for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from titan.cli.output import Misused
from titan.cli.target import Piece, Target

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def count(folder: str) -> int:
    """Return how many images there are."""
    return len(_files(folder))


def pieces(folder: str, target: Target) -> Iterator[Piece]:
    """Yield the images of all classes in turn, so that no class comes alone.

    An image is decoded and given the model's number of channels. Its size must be the model's: how to crop or scale
    is not ours to guess.
    """
    image_module = _pillow()
    shape = target.spec.shape if len(target.spec.shape) == 3 else (1, *target.spec.shape)
    if target.spec.data_type != "uint8" or len(shape) != 3 or shape[0] not in MODES:
        raise Misused(f"{folder}: the model takes {target.spec}, which is no image of bytes")
    channels, height, width = shape
    files = _files(folder)
    ids = {name: target.label(name, folder) for name in sorted({name for name, _ in files})}
    for begin in range(0, len(files), target.piece_count):
        some = files[begin : begin + target.piece_count]
        data = b"".join(_planes(image_module, path, MODES[channels], (width, height)) for _, path in some)
        yield Piece(data, [ids[name] for name, _ in some])


def _planes(image_module: Any, path: str, mode: str, size: tuple[int, int]) -> bytes:
    """Return an image as one plane of bytes for each channel."""
    try:
        with image_module.open(path) as image:
            image.load()
            decoded = image if image.mode == mode else image.convert(mode)
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise Misused(f"{path}: no image that can be read ({error})") from None
    if decoded.size != size:
        found, wanted = "x".join(map(str, decoded.size)), "x".join(map(str, size))
        raise Misused(f"{path}: is {found} pixels; the model takes {wanted}. Crop or scale the images first")
    return b"".join(plane.tobytes() for plane in decoded.split())


def _files(folder: str) -> list[tuple[str, str]]:
    """Return class name and path of all images, one of each class in turn."""
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    found = {
        name: sorted(
            entry.path
            for entry in os.scandir(os.path.join(folder, name))
            if entry.is_file() and entry.name.lower().endswith(ENDINGS)
        )
        for name in classes
    }
    if not any(found.values()):
        raise Misused(f"{folder}: there are no images in folders named for their classes ({', '.join(ENDINGS)})")
    ranked = [(place, name, path) for name, paths in found.items() for place, path in enumerate(paths)]
    return [(name, path) for _, name, path in sorted(ranked)]


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise Misused("reading images takes Pillow: pip install pillow") from None
    return Image
