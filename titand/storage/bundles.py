"""Checkpoints: everything that a resumed run needs, in one file that agrees with itself."""

# A bundle is
#
#     8 bytes   magic
#     u32       format version           (numbers are little-endian)
#     u32       length of the header
#     header    JSON: {"generation": 7, "sections": [{"name": ..., "length": ..., "crc32": ...}, ...]}
#     sections  raw bytes, one after the other
#     32 bytes  SHA-256 of everything before
#
# The SHA-256 says whether the file is whole, the CRC-32 which section is not. What a section holds is the
# business of whoever wrote it.

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from titand.errors import CorruptFile, StorageError
from titand.storage.files import Buffer, publish, refusals_of, sync_folder
from titand.storage.formats import BUNDLE

MAGIC = b"titand\xb1\n"
FORMAT_VERSION = BUNDLE.version
PREAMBLE = struct.Struct("<8sII")
DIGEST_BYTES = hashlib.sha256().digest_size
FILE_NAME = re.compile(r"g(\d{10,})\.bundle")


@dataclass(frozen=True)
class Bundle:
    """A checkpoint that was found whole.

    Attributes:
        generation: its number; the newest has the greatest.
        format_version: of the file.
        sections: name to contents, read-only, in the order they were written.
    """

    generation: int
    format_version: int
    sections: Mapping[str, memoryview]


@dataclass(frozen=True)
class SetAside:
    """A broken bundle: where it lies now, and what is wrong with it."""

    path: Path
    defect: str


def write_bundle(folder: Path, generation: int, sections: Mapping[str, Buffer], keep: int = 2) -> Path:
    """Write a checkpoint, durable on return, and let go of all but the newest `keep`.

    Args:
        folder: of the checkpoints; must exist.
        generation: at least the newest there; see `newest_generation`. An equal one is replaced.
        sections: name to contents; must not change until this returns. Nothing is copied.
        keep: generations to keep, the new one included.

    Raises:
        StorageError: the disk refuses; the older generations are still there.
        ValueError: `generation` is below one that is there, and would lose against that at the next load.
    """
    newest = newest_generation(folder)
    if generation < newest:
        raise ValueError(f"generation {generation} is older than {newest} in {folder}")
    path = folder / f"g{generation:010}.bundle"
    size = sum(memoryview(contents).nbytes for contents in sections.values())
    publish(path, encode_bundle(generation, sections), expected_bytes=size)
    with refusals_of(folder):
        for old in _generations(folder)[keep:]:
            os.unlink(old)
    return path


def load_newest(folder: Path) -> tuple[Bundle | None, list[SetAside]]:
    """Return the newest checkpoint that is whole, and what had to be set aside to get there.

    A broken file is renamed to `....broken-N`, never deleted and never repaired. One that the disk cannot read counts
    as broken as long as another can be read; otherwise the disk fails now, and an hour later it may not.

    Returns:
        The bundle, or None where there is none; the broken ones, newest first.

    Raises:
        StorageError: the folder, or every bundle in it, cannot be read; or FORMAT_TOO_NEW: a later titand wrote the
            newest one. Nothing was renamed.
    """
    broken: list[tuple[Path, str]] = []
    unreadable: OSError | None = None
    found: Bundle | None = None
    with refusals_of(folder):
        for path in _generations(folder):
            try:
                found = read_bundle(path)
                break
            except CorruptFile as error:
                broken.append((path, error.message))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                unreadable = error
                broken.append((path, f"{path}: the disk cannot read it ({error.strerror})."))
        if found is None and unreadable is not None:
            raise unreadable
        return found, [_set_aside(path, defect) for path, defect in broken]


def read_bundle(path: Path) -> Bundle:
    """Return a checkpoint after checking every byte of it.

    Raises:
        CorruptFile: it is not what was written; the message says where it differs.
        StorageError: FORMAT_TOO_NEW, a later titand wrote it.
        OSError: it cannot be read.
    """
    # Read once and kept, so that what was checked is what is used; the sections are views into it.
    with open(path, "rb") as file:
        contents = bytearray(os.fstat(file.fileno()).st_size)
        count = file.readinto(contents)
    return decode_bundle(memoryview(contents)[:count].toreadonly(), str(path))


def newest_generation(folder: Path) -> int:
    """Return the greatest generation in the folder, whole or not; 0 where there is none."""
    with refusals_of(folder):
        return max((_generation_of(path) for path in _generations(folder)), default=0)


def encode_bundle(generation: int, sections: Mapping[str, Buffer]) -> Iterator[Buffer]:
    """Yield the file piece by piece; the sections pass through without a copy."""
    table = [
        {"name": name, "length": memoryview(contents).nbytes, "crc32": zlib.crc32(contents)}
        for name, contents in sections.items()
    ]
    header = json.dumps({"generation": generation, "sections": table}).encode()
    sha256 = hashlib.sha256()
    for part in (PREAMBLE.pack(MAGIC, FORMAT_VERSION, len(header)) + header, *sections.values()):
        sha256.update(part)
        yield part
    yield sha256.digest()


def decode_bundle(contents: memoryview, name: str) -> Bundle:
    """Return the bundle whose file is `contents`; `name` is for the messages. Raises as `read_bundle`."""
    if len(contents) < PREAMBLE.size + DIGEST_BYTES:
        raise _corrupt(name, f"it is cut off after {len(contents)} bytes")
    body, digest = contents[:-DIGEST_BYTES], contents[-DIGEST_BYTES:]
    magic, format_version, header_length = PREAMBLE.unpack_from(body)
    if magic != MAGIC:
        raise _corrupt(name, "it does not begin like a bundle")
    whole = hashlib.sha256(body).digest() == digest
    if whole and format_version > FORMAT_VERSION:
        raise StorageError(
            "FORMAT_TOO_NEW",
            f"{name}: written in format {format_version}, this titand knows {FORMAT_VERSION}.",
            "Install the newer titand again, or move the file away to begin from an older state.",
            {"path": name},
        )
    try:
        generation, sections = _decode_sections(body, header_length)
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(name, "its header is damaged") from error
    # Checked although the SHA-256 covers them: to name the damaged one, and to find contents that their owner
    # changed while they were being written.
    for section, (view, crc32) in sections.items():
        if zlib.crc32(view) != crc32:
            raise _corrupt(name, f"section {section} fails its checksum")
    if not whole:
        raise _corrupt(name, "it fails its checksum")
    contents_by_name = BUNDLE.migrate({name: view for name, (view, _) in sections.items()}, format_version)
    return Bundle(generation, format_version, contents_by_name)


def _decode_sections(body: memoryview, header_length: int) -> tuple[int, dict[str, tuple[memoryview, int]]]:
    """Return the generation, and each section's bytes with the CRC-32 that they should have."""
    start = PREAMBLE.size + header_length
    header = json.loads(bytes(body[PREAMBLE.size : start]))
    sections = {}
    for entry in header["sections"]:
        stop = start + entry["length"]
        sections[entry["name"]] = (body[start:stop], entry["crc32"])
        start = stop
    return header["generation"], sections


def _generations(folder: Path) -> list[Path]:
    """Return the bundles of a folder, newest first."""
    found = (path for path in folder.iterdir() if FILE_NAME.fullmatch(path.name))
    return sorted(found, key=_generation_of, reverse=True)


def _generation_of(path: Path) -> int:
    match = FILE_NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def _set_aside(path: Path, defect: str) -> SetAside:
    number = 1
    while (target := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    try:
        path.rename(target)
        sync_folder(path.parent)
    except OSError as error:
        # A read-only disk must not keep the older state from being loaded.
        return SetAside(path, f"{defect} It could not be renamed ({error.strerror}).")
    return SetAside(target, defect)


def _corrupt(name: str, defect: str) -> CorruptFile:
    return CorruptFile(
        "BUNDLE_CORRUPT",
        f"{name}: {defect}.",
        "Nothing needs to be done: the next older checkpoint is used. Check the medium if it happens again.",
        {"path": name},
    )
