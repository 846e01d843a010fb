"""Snapshots: immutable, numbered model files that consumers may fetch, each with its manifest."""

# One folder per snapshot:
#
#     snapshots/r00000421/model.safetensors
#                        /manifest.json            what it is, with the model file's size and SHA-256
#                        /model.pt2                a derived export, and
#                        /model.pt2.json           its own manifest, written after it
#              best -> r00000421                   the one that was promoted last
#
# The folder is filled under a hidden name and renamed: it is there whole or not at all, and the kernel refuses
# to rename over a snapshot that exists, which makes them immutable. One process creates while another lists and
# reads; a reader that has a file open keeps it, whoever deletes the snapshot.

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

import titand
from titand.errors import CorruptFile, InvalidRequest, NotFound, StorageError
from titand.records import ModelSpec
from titand.storage.files import PARTIAL, Buffer, FileDigest, digest_rest, publish, refusals_of, sync_folder
from titand.storage.manifests import (
    MODEL_FILE,
    Export,
    Snapshot,
    corrupt,
    encode_manifest,
    plain_of_snapshot,
    read_manifest,
    snapshot_from_plain,
)

MANIFEST = "manifest.json"
BEST = "best"
NAME = re.compile(r"r\d{8,}(-\d+)?", re.ASCII)
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SnapshotPage:
    """A part of the list, newest first.

    Attributes:
        snapshots: at most as many as asked for.
        next_page_token: for the next part; "" after the last.
        damaged: names whose manifest cannot be trusted; on the first page only.
    """

    snapshots: tuple[Snapshot, ...]
    next_page_token: str
    damaged: tuple[str, ...] = ()


class SnapshotStore:
    """The snapshots in one folder.

    One process creates, any may list, read and delete. Nothing is cached: the folder is the truth.

    Args:
        folder: must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(
        self,
        round: int,
        chunks: Iterable[Buffer],
        *,
        model: ModelSpec,
        create_time_ns: int,
        metrics: Mapping[str, float] | None = None,
        gate: Mapping[str, Any] | None = None,
        parent: str = "",
        note: str = "",
        expected_bytes: int = 0,
    ) -> Snapshot:
        """Create a snapshot; it survives a power cut once this has returned.

        Asking again for a round whose file would be the same, byte for byte, returns the one that is there.

        Args:
            round: the last round that went into the parameters.
            chunks: the safetensors file, piece by piece; see `encode_tensors`.
            model: goes into the manifest.
            create_time_ns: wall clock.
            metrics: finite numbers; what is unknown is left out.
            gate: how it compared with the best snapshot; see `titand.workers.gatekeeper.Gate`.
            parent: name of the snapshot that training came from.
            note: of whoever asked.
            expected_bytes: refuse at once unless twice this is free.

        Raises:
            StorageError: the disk refuses; nothing is left behind.
            ValueError: a metric is not finite.
        """
        name = f"r{round:08}"
        partial = self.folder / f".{name}{PARTIAL}"
        with refusals_of(self.folder / name):
            shutil.rmtree(partial, ignore_errors=True)
            os.mkdir(partial)
            try:
                written = publish(partial / MODEL_FILE, chunks, expected_bytes)
                existing = self._all()[0]
                for each in existing:
                    if each.round == round and self._holds(each, written):
                        shutil.rmtree(partial)
                        sync_folder(self.folder)  # whoever made it may have been killed before this
                        return each
                # A damaged one keeps its name: it is never overwritten.
                name = next(free for free in _names(round) if not (self.folder / free).exists())
                snapshot = Snapshot(
                    name=name,
                    sequence=1 + max((each.sequence for each in existing), default=0),
                    round=round,
                    create_time_ns=create_time_ns,
                    model=model,
                    metrics=dict(metrics or {}),
                    gate=dict(gate or {}),
                    parent=parent,
                    note=note,
                    titand_version=titand.__version__,
                    size_bytes=written.size_bytes,
                    sha256=written.sha256,
                )
                publish(partial / MANIFEST, [encode_manifest(plain_of_snapshot(snapshot))])
                os.rename(partial, self.folder / name)
            except Exception:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            sync_folder(self.folder)
        return snapshot

    def page(self, page_size: int = 50, page_token: str = "") -> SnapshotPage:
        """Return the newest snapshots, or those that follow `page_token`.

        Raises:
            InvalidRequest: PAGE_TOKEN_INVALID.
        """
        if page_token and not page_token.isdecimal():
            raise InvalidRequest(
                "PAGE_TOKEN_INVALID", f"There is no page {page_token!r}.", "Begin again without a page token."
            )
        found, damaged = self._all()
        rest = [each for each in found if not page_token or each.sequence < int(page_token)]
        page = rest[:page_size]
        more = str(page[-1].sequence) if len(rest) > len(page) > 0 else ""
        return SnapshotPage(tuple(page), more, () if page_token else tuple(damaged))

    def get(self, name: str) -> Snapshot:
        """Return a snapshot.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
            CorruptFile: its manifest is not what was written.
            StorageError: the disk refuses.
        """
        folder = self._folder_of(name)
        with refusals_of(folder):
            try:
                plain = read_manifest(folder / MANIFEST)
                exports = [read_manifest(path) for path in sorted(folder.glob("*.json")) if path.name != MANIFEST]
            except FileNotFoundError as error:
                raise _missing(folder / MANIFEST) from error
        snapshot = snapshot_from_plain(plain, exports, folder / MANIFEST)
        if snapshot.name != name:
            raise corrupt(folder / MANIFEST, f"it is the manifest of {snapshot.name}")
        return snapshot

    def open_for_read(self, name: str, offset_bytes: int = 0, file: str = MODEL_FILE) -> FileIO:
        """Open a snapshot's model file, or one of its exports, at an offset; the caller closes it.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND or EXPORT_NOT_FOUND.
            InvalidRequest: OFFSET_OUT_OF_RANGE.
            CorruptFile: the size is not what the manifest says.
            StorageError: the disk refuses.
        """
        expected = _expected(self.get(name), file)
        path = self.folder / name / file
        with refusals_of(path), contextlib.ExitStack() as until_checked:
            try:
                opened = until_checked.enter_context(FileIO(path))
            except FileNotFoundError as error:
                raise _missing(path) from error
            size = opened.seek(0, 2)
            if size != expected.size_bytes:
                raise corrupt(path, f"it has {size} bytes, the manifest says {expected.size_bytes}")
            if not 0 <= offset_bytes <= size:
                raise InvalidRequest(
                    "OFFSET_OUT_OF_RANGE",
                    f"Offset {offset_bytes} is outside {file} of {size} bytes.",
                    "Delete the partial file and begin at 0.",
                )
            opened.seek(offset_bytes)
            until_checked.pop_all()
        return opened

    def verify(self, name: str) -> Snapshot:
        """Return a snapshot after reading and checking all its files.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
            CorruptFile: a file is not what was written.
            StorageError: the disk refuses.
        """
        snapshot = self.get(name)
        for file in (MODEL_FILE, *(export.file for export in snapshot.exports)):
            path = self.folder / name / file
            with refusals_of(path), self.open_for_read(name, file=file) as opened:
                if digest_rest(opened) != _expected(snapshot, file):
                    raise corrupt(path, "it fails its checksum")
        return snapshot

    def add_export(
        self, name: str, format: str, file: str, chunks: Iterable[Buffer], expected_bytes: int = 0
    ) -> Export:
        """Put a derived file beside a snapshot's model; durable on return. One that is there stays.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
            StorageError: the disk refuses; nothing is left behind.
            ValueError: `file` is no plain name, or one that the snapshot uses itself.
        """
        if not FILE_NAME.fullmatch(file) or file in (MODEL_FILE, MANIFEST):
            raise ValueError(f"{file!r} cannot be the name of an export")
        for there in self.get(name).exports:
            if there.file == file:
                return there
        path = self.folder / name / file
        manifest = path.with_name(f"{file}.json")
        try:
            written = publish(path, chunks, expected_bytes)
            export = Export(format, file, written.size_bytes, written.sha256)
            publish(manifest, [encode_manifest(asdict(export))])
        except StorageError as error:
            with contextlib.suppress(OSError):
                for each in (manifest, path):  # what the manifest speaks of goes last
                    each.unlink(missing_ok=True)
            if not path.parent.is_dir():  # deleted meanwhile
                raise _not_found(name) from error
            raise
        return export

    def delete(self, name: str) -> None:
        """Delete a snapshot, at once and whole; who reads it now reads on.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
            StorageError: the disk refuses.
        """
        folder = self._folder_of(name)
        doomed = self.folder / f".deleted-{name}{PARTIAL}"
        with refusals_of(folder):
            shutil.rmtree(doomed, ignore_errors=True)
            try:
                os.rename(folder, doomed)
            except FileNotFoundError as error:
                raise _not_found(name) from error
            sync_folder(self.folder)
            shutil.rmtree(doomed)

    @property
    def best(self) -> str:
        """Name of the snapshot that was promoted last; "" if there is none, or it was deleted."""
        try:
            name = os.readlink(self.folder / BEST)
        except OSError:
            return ""
        return name if NAME.fullmatch(name) and (self.folder / name).is_dir() else ""

    def promote(self, name: str) -> None:
        """Call a snapshot the best, durably.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
            StorageError: the disk refuses; the best is what it was.
        """
        self.get(name)
        partial = self.folder / f".{BEST}{PARTIAL}"
        with refusals_of(self.folder / BEST):
            partial.unlink(missing_ok=True)
            os.symlink(name, partial)
            os.replace(partial, self.folder / BEST)
            sync_folder(self.folder)

    def keep_newest(self, count: int) -> list[str]:
        """Delete all but the newest `count` and the best, return their names.

        Damaged ones are not counted, and stay.
        """
        deleted, best = [], self.best
        for snapshot in self._all()[0][count:]:
            if snapshot.name == best:
                continue
            with contextlib.suppress(NotFound):  # someone else has deleted it meanwhile
                self.delete(snapshot.name)
                deleted.append(snapshot.name)
        return deleted

    def _all(self) -> tuple[list[Snapshot], list[str]]:
        """Return the snapshots, newest first, and the names of the damaged."""
        found, damaged = [], []
        for folder in self._folders():
            try:
                found.append(self.get(folder.name))
            except NotFound:  # deleted since the folder was read
                continue
            except CorruptFile:
                damaged.append(folder.name)
        return sorted(found, key=lambda each: each.sequence, reverse=True), sorted(damaged)

    def _holds(self, snapshot: Snapshot, written: FileDigest) -> bool:
        """Tell whether the snapshot's model file is this one, on the disk and not only by its manifest."""
        if _expected(snapshot, MODEL_FILE) != written:
            return False
        try:
            return bool(self.verify(snapshot.name))
        except (CorruptFile, NotFound):
            return False

    def _folders(self) -> list[Path]:
        with refusals_of(self.folder):
            return [path for path in self.folder.iterdir() if NAME.fullmatch(path.name)]

    def _folder_of(self, name: str) -> Path:
        if not NAME.fullmatch(name):  # never a path: names come from clients
            raise _not_found(name)
        return self.folder / name


def _names(round: int) -> Iterator[str]:
    yield f"r{round:08}"
    yield from (f"r{round:08}-{number}" for number in count(2))


def _expected(snapshot: Snapshot, file: str) -> FileDigest:
    if file == MODEL_FILE:
        return FileDigest(snapshot.size_bytes, snapshot.sha256)
    for export in snapshot.exports:
        if export.file == file:
            return FileDigest(export.size_bytes, export.sha256)
    raise NotFound("EXPORT_NOT_FOUND", f"Snapshot {snapshot.name} has no {file}.", "Export it first.")


def _missing(path: Path) -> CorruptFile | NotFound:
    """Tell a file that is gone from a snapshot that was deleted while we looked."""
    return corrupt(path, "it is missing") if path.parent.is_dir() else _not_found(path.parent.name)


def _not_found(name: str) -> NotFound:
    return NotFound(
        "SNAPSHOT_NOT_FOUND",
        f"There is no snapshot {name!r}.",
        "`titanctl snapshots` shows those that are there; the oldest are deleted as new ones come.",
        {"name": name},
    )
