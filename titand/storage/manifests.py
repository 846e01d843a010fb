"""What a snapshot says about itself, as a file that notices a flipped bit."""

# A manifest is JSON in one fixed form (sorted keys, indent of 2) with a SHA-256 over the rest of itself.
# Reading compares the digest, and the bytes with what would be written: no bit changes unseen, in a number or a space.

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from titand.errors import CorruptFile
from titand.records import ModelSpec, model_spec_from_plain
from titand.storage.files import refusals_of
from titand.storage.formats import MANIFEST

FORMAT_VERSION = MANIFEST.version
MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class Export:
    """A file derived from a snapshot's model for a kind of consumer, e.g. format "pt2" in "model.pt2"."""

    format: str
    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """What the manifest says.

    Attributes:
        name: "r00000421"; a second one of the same round with other contents is "r00000421-2".
        sequence: one more than the greatest that was there. Orders them, for rounds may repeat after a restart.
        round: the last round that went into the parameters.
        create_time_ns: nanoseconds since the Unix epoch.
        model: input, labels, normalisation and architecture, all that a consumer needs to use the file.
        metrics: name to value, e.g. {"held_out_accuracy": 0.94}.
        parent: name of the snapshot that training came from, or "".
        note: of whoever asked for it.
        titand_version: that wrote it.
        size_bytes: of model.safetensors.
        sha256: of model.safetensors, in hexadecimal.
        exports: derived files.
        gate: how it compared with the best snapshot when it was taken; empty where it was not compared.
    """

    name: str
    sequence: int
    round: int
    create_time_ns: int
    model: ModelSpec
    metrics: Mapping[str, float]
    parent: str
    note: str
    titand_version: str
    size_bytes: int
    sha256: str
    exports: tuple[Export, ...] = ()
    gate: Mapping[str, Any] = field(default_factory=dict)


def encode_manifest(plain: Mapping[str, Any]) -> bytes:
    """Return the file: `plain` with the format version and a digest over both.

    Raises:
        ValueError: a number in it is not finite.
    """
    body = {**plain, "format_version": FORMAT_VERSION}
    return _canonical({**body, "manifest_sha256": hashlib.sha256(_canonical(body)).hexdigest()})


def decode_manifest(contents: bytes, path: Path) -> dict[str, Any]:
    """Return what `encode_manifest` was given, and the format version; `path` is for the message.

    Raises:
        CorruptFile: these are not the bytes that were written.
    """
    try:
        plain: dict[str, Any] = json.loads(contents)
        digest = plain.pop("manifest_sha256")
        intact = hashlib.sha256(_canonical(plain)).hexdigest() == digest
        canonical = _canonical({**plain, "manifest_sha256": digest}) == contents
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise corrupt(path, "it is not a manifest") from error
    if not (intact and canonical):
        raise corrupt(path, "it fails its checksum")
    return MANIFEST.migrate(plain, plain.get("format_version", 1))


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the contents of a manifest file.

    Raises:
        CorruptFile: it is damaged, or the disk cannot read it.
        FileNotFoundError: it is not there.
        StorageError: the disk refuses for another reason.
    """
    try:
        contents = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if error.errno == errno.EIO:
            raise corrupt(path, "the disk cannot read it") from error
        with refusals_of(path):
            raise
    return decode_manifest(contents, path)


def plain_of_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """Return what goes into the manifest of a snapshot; the exports have their own."""
    plain = asdict(snapshot)
    del plain["exports"]
    if not plain["gate"]:
        del plain["gate"]
    file = {"name": MODEL_FILE, "size_bytes": plain.pop("size_bytes"), "sha256": plain.pop("sha256")}
    return {**plain, "file": file}


def snapshot_from_plain(plain: Mapping[str, Any], exports: Sequence[Mapping[str, Any]], path: Path) -> Snapshot:
    """Build a snapshot from its manifest and those of its exports; `path` is for the message.

    Keys that this version does not know are left out: later versions add, they do not change.

    Raises:
        CorruptFile: something is missing.
    """
    try:
        return Snapshot(
            name=plain["name"],
            sequence=plain["sequence"],
            round=plain["round"],
            create_time_ns=plain["create_time_ns"],
            model=model_spec_from_plain(plain["model"]),
            metrics=plain["metrics"],
            parent=plain["parent"],
            note=plain["note"],
            titand_version=plain["titand_version"],
            size_bytes=plain["file"]["size_bytes"],
            sha256=plain["file"]["sha256"],
            exports=tuple(_export_from_plain(each) for each in exports),
            gate=plain.get("gate", {}),
        )
    except (KeyError, TypeError) as error:
        raise corrupt(path, f"it lacks {error}") from error


def _export_from_plain(plain: Mapping[str, Any]) -> Export:
    return Export(plain["format"], plain["file"], plain["size_bytes"], plain["sha256"])


def corrupt(path: Path, defect: str) -> CorruptFile:
    """Return the error for a file of a snapshot that is not what was written."""
    return CorruptFile(
        "SNAPSHOT_CORRUPT",
        f"{path}: {defect}.",
        "Use another snapshot, and check the medium.",
        {"path": str(path)},
    )


def _canonical(plain: Mapping[str, Any]) -> bytes:
    text = json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()
