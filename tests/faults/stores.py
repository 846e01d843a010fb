"""Stores to be put to the test: those of titand, and some that are known to be bad.

A store keeps one number, and nothing but the number decides every byte of what it writes. So whatever is found later
can be told from everything else that was ever written, and from what never was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from titand.errors import CorruptFile
from titand.records import ModelSpec, TensorSpec
from titand.storage.bundles import Bundle, load_newest, newest_generation, read_bundle, write_bundle
from titand.storage.files import PARTIAL, refusals_of, remove_partials, sync_folder
from titand.storage.manifests import Snapshot
from titand.storage.ring_file import record_bytes
from titand.storage.ring_log import RingLog
from titand.storage.snapshots import SnapshotStore

PIECES = 3
DIGEST_BYTES = 32
MODEL = ModelSpec("digits_cnn", TensorSpec("uint8", (1, 8, 8)), ("no", "yes"))


@dataclass(frozen=True)
class Found:
    """What a start finds.

    Attributes:
        number: the newest that is whole; 0 for none.
        damaged: names of files that stood where whole ones should, and were not.
    """

    number: int
    damaged: tuple[str, ...] = ()


class Impostor(AssertionError):
    """What was found passed for whole, and was never written."""


class Store:
    """A store in a folder.

    Args:
        folder: must exist; made by `prepare`.
        size_bytes: of what is kept.
    """

    def __init__(self, folder: Path, size_bytes: int = 6000) -> None:
        self.folder = folder
        self.size_bytes = size_bytes

    def put(self, number: int) -> None:
        """Keep a number; the caller may rely on it once this has returned."""
        raise NotImplementedError

    def get(self) -> Found:
        """Do what a start does, and say what it finds."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of files that are open."""

    def kept(self) -> set[int]:
        """Return all numbers that are whole and could be found, were the newer ones not there."""
        raise NotImplementedError

    def evidence(self) -> list[Any]:
        """Return what no start may change, whatever fails meanwhile: the contents of files, under any name."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and PARTIAL not in str(path))
        return sorted(path.read_bytes() for path in files)

    def pieces(self, number: int) -> list[bytes]:
        """Return what is kept for a number, as a model would come: in some pieces."""
        contents = hashlib.shake_256(str(number).encode()).digest(self.size_bytes)
        length = self.size_bytes // PIECES
        return [contents[:length], contents[length : 2 * length], contents[2 * length :]]

    def number_of(self, claimed: int, contents: bytes) -> int:
        """Return the number that some contents claim to be, after a look at every byte."""
        if contents != b"".join(self.pieces(claimed)):
            raise Impostor(f"{type(self).__name__}: what was found for {claimed} was never written")
        return claimed


class Bundles(Store):
    """Checkpoints, written and loaded as the trainer and the daemon do."""

    def put(self, number: int) -> None:
        sections = {f"piece {place}": piece for place, piece in enumerate(self.pieces(number))}
        write_bundle(self.folder, newest_generation(self.folder) + 1, {"number": str(number).encode(), **sections})

    def get(self) -> Found:
        remove_partials(self.folder)
        bundle, set_aside = load_newest(self.folder)
        damaged = tuple(each.path.name for each in set_aside)
        return Found(self._number_in(bundle) if bundle else 0, damaged)

    def kept(self) -> set[int]:
        return {self._number_in(read_bundle(path)) for path in self.folder.glob("*.bundle")}

    def _number_in(self, bundle: Bundle) -> int:
        number, *pieces = (bytes(section) for section in bundle.sections.values())
        return self.number_of(int(number), b"".join(pieces))


class Snapshots(Store):
    """Snapshots, written and listed as the trainer and the front do."""

    def put(self, number: int) -> None:
        store = SnapshotStore(self.folder)
        store.create(number, self.pieces(number), model=MODEL, create_time_ns=number, metrics={"number": number})
        store.keep_newest(2)

    def get(self) -> Found:
        remove_partials(self.folder)
        store = SnapshotStore(self.folder)
        page = store.page()
        damaged = list(page.damaged)
        for snapshot in page.snapshots:
            try:
                return Found(self._number_in(store, snapshot), tuple(damaged))
            except CorruptFile:
                damaged.append(snapshot.name)
        return Found(0, tuple(damaged))

    def kept(self) -> set[int]:
        store = SnapshotStore(self.folder)
        return {self._number_in(store, snapshot) for snapshot in store.page().snapshots}

    def _number_in(self, store: SnapshotStore, snapshot: Snapshot) -> int:
        store.verify(snapshot.name)
        with refusals_of(self.folder), store.open_for_read(snapshot.name) as file:
            return self.number_of(snapshot.round, file.read())


class Ring(Store):
    """The log of samples, written as the front does, in a file that four numbers fill."""

    _log: RingLog | None = None

    def put(self, number: int) -> None:
        if self._log is None:
            path = self.folder / "samples.ring"
            capacity = 4 * record_bytes(self.size_bytes)
            self._log = RingLog.open(path) if self._is_there() else RingLog.create(path, capacity)
        self._log.release(number - 2)
        self._log.append(number, self.pieces(number))
        self._log.flush()

    def get(self) -> Found:
        remove_partials(self.folder)
        return Found(max(self.kept(), default=0))

    def kept(self) -> set[int]:
        if not self._is_there():
            return set()
        path = self.folder / "samples.ring"
        with refusals_of(path), contextlib.closing(RingLog.open(path)) as log:
            return {self.number_of(sequence, payload) for sequence, payload in log.recovered()}

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _is_there(self) -> bool:
        with refusals_of(self.folder):
            return "samples.ring" in os.listdir(self.folder)

    def evidence(self) -> list[Any]:
        return sorted(self.kept())  # it tidies up behind the last record when it is opened


# ---- known to be bad: the harness is worth something only as long as it finds that


class OneFile(Store):
    """One file with a checksum at its end, as most programs have it; `sync` and `sync_name` say how it gets there."""

    name = "state"

    def put(self, number: int) -> None:
        partial = self.folder / "state.tmp"
        with open(partial, "wb") as file:
            self.write(file.fileno(), number)
            self.sync(file.fileno())
        os.replace(partial, self.folder / self.name)
        self.sync_name()

    def get(self) -> Found:
        contents = b""
        with contextlib.suppress(FileNotFoundError):
            contents = (self.folder / self.name).read_bytes()
        if not contents:
            return Found(0)
        body, digest = contents[:-DIGEST_BYTES], contents[-DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return Found(0, (self.name,))
        number, _, rest = body.partition(b"\n")
        return Found(self.number_of(int(number), rest))

    def kept(self) -> set[int]:
        return {self.get().number}

    def write(self, descriptor: int, number: int) -> None:
        """Write what is kept, piece by piece."""
        sha256 = hashlib.sha256()
        for piece in self.body(number):
            sha256.update(piece)
            os.write(descriptor, piece)
        os.write(descriptor, sha256.digest())

    def body(self, number: int) -> Iterator[bytes]:
        """Yield the number and what belongs to it."""
        yield f"{number}\n".encode()
        yield from self.pieces(number)

    def sync(self, descriptor: int) -> None:
        """Make the bytes durable."""
        os.fsync(descriptor)

    def sync_name(self) -> None:
        """Make the name durable."""
        sync_folder(self.folder)


class PlainWrite(OneFile):
    """open("wb") and write: what `torch.save` does."""

    def put(self, number: int) -> None:
        with open(self.folder / self.name, "wb") as file:
            self.write(file.fileno(), number)
            self.sync(file.fileno())
        self.sync_name()


class InPlace(OneFile):
    """Overwrites what is there, then fsync."""

    def put(self, number: int) -> None:
        descriptor = os.open(self.folder / self.name, os.O_WRONLY | os.O_CREAT)
        try:
            self.write(descriptor, number)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        self.sync_name()


class NameNotSynced(OneFile):
    """fsync and rename, but none of the folder."""

    def sync_name(self) -> None:
        pass


class NothingSynced(NameNotSynced):
    """Rename alone."""

    def sync(self, descriptor: int) -> None:
        pass


class SyncTriedAgain(OneFile):
    """Calls fsync until it says that all is well."""

    def sync(self, descriptor: int) -> None:
        for _ in range(9):
            with contextlib.suppress(OSError):
                return os.fsync(descriptor)
        os.fsync(descriptor)


class NoChecksum(OneFile):
    """Every step in order, and no look at what comes back."""

    def get(self) -> Found:
        contents = (self.folder / self.name).read_bytes()
        number, _, rest = contents[:-DIGEST_BYTES].partition(b"\n")
        return Found(self.number_of(int(number), rest))
