"""A file that comes in pieces and may be interrupted: either whole, verified and under its name, or not there.

What has arrived waits in PATH.SHA.partial, so that the next attempt goes on where this one ended, and only if it is
still the same file.
"""

from __future__ import annotations

import hashlib
import os
from types import TracebackType
from typing import BinaryIO

from titan.errors import CorruptFile, TitanError
from titan.records import Export, Snapshot

READ_BYTES = 1 << 20


class Download:
    """Collects the bytes of one file of a snapshot.

    Args:
        path: where it is to be.
        snapshot: what it belongs to, as the server describes it.
        file_format: which of the snapshot's files.
    """

    def __init__(self, path: str | os.PathLike[str], snapshot: Snapshot, file_format: str) -> None:
        self.path = os.fspath(path)
        self.snapshot = snapshot
        self.file = next(file for file in snapshot.files if file.format == file_format)
        self._partial = f"{self.path}.{self.file.sha256[:12]}.partial"
        self._hash = hashlib.sha256()
        self._file: BinaryIO

    def __enter__(self) -> Download:
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        self._file = open(self._partial, "a+b")
        self._file.seek(0)
        while piece := self._file.read(READ_BYTES):
            self._hash.update(piece)
        if self._file.tell() > self.file.size_bytes:
            self._file.truncate(0)
            self._hash = hashlib.sha256()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = self.path  # a full disk says no name by itself
        self._file.close()

    @property
    def offset_bytes(self) -> int:
        """How much is there already: where the server has to begin."""
        return self._file.seek(0, os.SEEK_END)

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._file.write(piece)
        self._hash.update(piece)

    def finish(self) -> Export:
        """Verify the file, give it its name, and say what it is.

        Raises:
            CorruptFile: it is not what the server said; nothing is kept.
            TitanError: it is not whole; what has come is kept.
        """
        size, digest = self.offset_bytes, self._hash.hexdigest()
        if size < self.file.size_bytes:
            raise TitanError(
                "UNAVAILABLE",
                "DOWNLOAD_SHORT",
                f"{self.path}: the daemon ended after {size} of {self.file.size_bytes} bytes.",
                "Try again: what has come is kept.",
            )
        if (size, digest) != (self.file.size_bytes, self.file.sha256):
            os.remove(self._partial)
            raise CorruptFile(
                "DATA_LOSS",
                "DOWNLOAD_CORRUPT",
                f"{self.path}: {size} bytes with SHA-256 {digest} came; "
                f"the daemon has {self.file.size_bytes} with {self.file.sha256}.",
                "Try again; if it happens again, 'titanctl snapshots' tells whether the snapshot is damaged.",
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._partial, self.path)
        folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
        try:
            os.fsync(folder)  # a rename alone may not survive a power cut
        finally:
            os.close(folder)
        return Export(self.path, self.snapshot, self.file)
