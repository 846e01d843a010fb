"""Where clients connect: a path is looked at before it is bound, and only its group may connect."""

from __future__ import annotations

import errno
import grp
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from titand.errors import ConfigError

LONGEST_PATH = 107  # bytes; sun_path of sockaddr_un has 108 with its end
UMASK = 0o177  # for its owner alone until it belongs to the right group
MODE = 0o660  # connecting takes write permission


def bind(server: grpc.Server, path: Path, group: str = "") -> None:
    """Make a server listen on a Unix socket of mode 0660; a socket left behind by a dead daemon is replaced.

    It gets the group where the machine has it and the daemon belongs to it; else it keeps the daemon's own.

    Raises:
        ConfigError: SOCKET_PATH_TOO_LONG, SOCKET_PATH_TAKEN, SOCKET_NOT_WRITABLE.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigError(
            "SOCKET_PATH_TOO_LONG",
            f"{path} has more than the {LONGEST_PATH} bytes that a socket's path may have.",
            "Choose a shorter service.runtime_directory.",
            {"path": str(path)},
        )
    try:
        _clear(path)
        with _umask(UMASK):
            server.add_insecure_port(f"unix:{path}")
        if _is_member(group):
            shutil.chown(path, group=group)
        path.chmod(MODE)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            "SOCKET_NOT_WRITABLE",
            f"Cannot listen on {path}: {_cause(path, error)}.",
            "Make service.runtime_directory a folder that the daemon's user may write to.",
            {"path": str(path)},
        ) from error


def inode(path: Path) -> int | None:
    """Return what tells a socket from another one that took its path; None if nothing is there."""
    try:
        return path.lstat().st_ino
    except OSError:
        return None


def _is_member(group: str) -> bool:
    try:
        return grp.getgrnam(group).gr_gid in os.getgroups()
    except KeyError:
        return False


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    is_socket = stat.S_ISSOCK(mode)
    if not is_socket or _is_answered(path):
        raise ConfigError(
            "SOCKET_PATH_TAKEN",
            f"{path} is there already and {'another program listens on it' if is_socket else 'is not a socket'}.",
            "Move it away, or choose another service.runtime_directory.",
            {"path": str(path)},
        )
    path.unlink()


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) in (0, errno.EAGAIN)  # EAGAIN: it listens, and its queue is full


def _cause(path: Path, error: Exception) -> str:
    """Say what is wrong; gRPC itself only says that it failed."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"no permission to write to {path.parent}"
    return str(error)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
