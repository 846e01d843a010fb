"""Files that are whole or absent, whatever is killed or unplugged."""

# The order of the steps in `publish` is the promise:
#
#   1. the bytes go to a new file under a name that no reader looks for,
#   2. fsync: the bytes are on the device before any name points to them,
#   3. they are read back from the device: a disk that says "written" and stores nothing is found now, not at
#      the next start,
#   4. rename: readers see the old file or the new one, nothing between,
#   5. fsync of the folder: without it a power cut may take the rename back.
#
# After a failed fsync Linux marks the pages clean, and a second fsync says "done" about bytes that are gone
# (Rebello et al., USENIX ATC 2020). So a failed file is thrown away, and whoever tries again writes a new one.

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from titand.errors import StorageError

Buffer: TypeAlias = bytes | bytearray | memoryview

READ_BYTES = 1 << 20
PARTIAL = ".partial"

OWN_IT = "Give the folder to the user that the daemon runs as."

# errno -> (reason, what is wrong, remedy)
REFUSALS = {
    errno.ENOSPC: ("DISK_FULL", "no space left", "Free space or move the state folder to a larger disk."),
    errno.EDQUOT: ("DISK_FULL", "the disk quota is used up", "Free space or raise the quota."),
    errno.EFBIG: ("FILE_TOO_LARGE", "the file exceeds a size limit", "Raise LimitFSIZE= of the service."),
    errno.EROFS: ("READ_ONLY", "the file system is read-only", "Look for disk errors in the kernel log."),
    errno.EACCES: ("NOT_PERMITTED", "permission denied", OWN_IT),
    errno.EPERM: ("NOT_PERMITTED", "operation not permitted", OWN_IT),
    errno.ENOENT: ("NO_SUCH_FOLDER", "the folder is gone", "Create it again, or restart the service."),
    errno.EMFILE: ("TOO_MANY_FILES", "too many open files", "Raise LimitNOFILE= of the service."),
    errno.ENFILE: ("TOO_MANY_FILES", "too many open files on the machine", "Find who leaks them."),
}
NO_INODES = (
    "DISK_FULL",
    "every inode is in use",
    "Remove files that nobody needs, many small ones; `df -i` shows how many there may be.",
)
BROKEN_DISK = ("IO_ERROR", "the disk failed", "Look for disk errors in the kernel log; replace the medium.")


@dataclass(frozen=True)
class FileDigest:
    """What a file holds, in two numbers: its size, and its SHA-256 in hexadecimal."""

    size_bytes: int
    sha256: str


@contextlib.contextmanager
def refusals_of(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that names `path`, a reason and a remedy."""
    try:
        yield
    except OSError as error:
        reason, defect, remedy = REFUSALS.get(error.errno or 0, BROKEN_DISK)
        if error.errno == errno.ENOSPC and not _has_inodes(path.parent):
            reason, defect, remedy = NO_INODES
        metadata = {"path": str(path), "errno": errno.errorcode.get(error.errno or 0, "")}
        message = f"{path}: {defect} ({error.strerror or error})."
        raise StorageError(reason, message, remedy, metadata) from error


def publish(path: Path, chunks: Iterable[Buffer], expected_bytes: int = 0) -> FileDigest:
    """Write `path` so that a reader, or a power cut, finds all of it or none of it.

    One writer per path; readers as many as like.

    Args:
        path: where; its folder must exist. A file already there is replaced.
        chunks: the contents, in order; each is written as it comes and not kept.
        expected_bytes: refuse at once unless twice this is free, so that the last blocks stay for others.

    Returns:
        Size and SHA-256 of what was written and read back.

    Raises:
        StorageError: DISK_FULL, READ_ONLY, NOT_PERMITTED, IO_ERROR, ...; an old file at `path` is unharmed,
            unless the folder's fsync failed: then the new one is there, and may be gone after a power cut.
    """
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    with refusals_of(path):
        _require_space(path.parent, 2 * expected_bytes)
        try:
            written = _write_new(temporary, chunks)
            if _read_back(temporary) != written:
                raise StorageError(
                    "READ_BACK_DIFFERS",
                    f"{path}: the disk does not give back what was written to it.",
                    "Replace the medium; it loses data.",
                    {"path": str(path)},
                )
            os.replace(temporary, path)
        except Exception:
            # Frees the space at once. What a kill leaves behind, remove_partials takes away at start.
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)
    return written


def digest_file(path: Path) -> FileDigest:
    """Return size and SHA-256 of a file."""
    with open(path, "rb", buffering=0) as file:
        return digest_rest(file)


def digest_rest(file: FileIO) -> FileDigest:
    """Return size and SHA-256 of what is left of a file that was opened unbuffered."""
    sha256, size = hashlib.sha256(), 0
    for chunk in chunks_of(file):
        sha256.update(chunk)
        size += chunk.nbytes
    return FileDigest(size, sha256.hexdigest())


def chunks_of(file: FileIO) -> Iterator[memoryview]:
    """Yield the rest of an unbuffered file piece by piece; a piece is valid until the next is asked for."""
    buffer = memoryview(bytearray(READ_BYTES))
    while count := file.readinto(buffer):
        yield buffer[:count]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: what was created, renamed or removed there stays so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partials(folder: Path) -> list[Path]:
    """Remove what killed writers left in a folder and below, and say what it was.

    Call it at start, before the first writer: it cannot tell a dead writer's file from a live one's.
    """
    with refusals_of(folder):
        leftovers = sorted(folder.rglob(f".*{PARTIAL}"))
        for path in leftovers:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # it may have gone with its folder
    return leftovers


def _write_new(path: Path, chunks: Iterable[Buffer]) -> FileDigest:
    """Write and fsync a file that did not exist: never the one whose fsync may have failed before."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sha256, size = hashlib.sha256(), 0
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
            sha256.update(chunk)
            size += memoryview(chunk).nbytes
        file.flush()
        os.fsync(file.fileno())
    return FileDigest(size, sha256.hexdigest())


def _read_back(path: Path) -> FileDigest:
    """Return what the device holds, not what the kernel remembers of it."""
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return digest_rest(file)


def _require_space(folder: Path, needed_bytes: int) -> None:
    disk = os.statvfs(folder)
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes < needed_bytes:
        raise StorageError(
            "DISK_FULL",
            f"{folder}: {free_bytes:,} bytes free, {needed_bytes:,} wanted: {needed_bytes - free_bytes:,} are missing.",
            "Free space or move the state folder to a larger disk.",
            {"path": str(folder), "free_bytes": str(free_bytes), "needed_bytes": str(needed_bytes)},
        )


def _has_inodes(folder: Path) -> bool:
    """Tell whether a file may still be made; a file system that does not count them has always room for one more."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return True  # the folder is in trouble of its own
    return disk.f_files == 0 or disk.f_favail > 0
