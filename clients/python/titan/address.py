"""Where the daemon listens, and why it cannot be reached there."""

from __future__ import annotations

import errno
import grp
import os
import re
import socket
import stat
from typing import NamedTuple

from titan.errors import Unreachable

DEFAULT_ADDRESS = "unix:/run/titand/titand.sock"
LONGEST_PATH = 107  # bytes of the path of a Unix socket, by the kernel
PROBE_SECONDS = 1.0  # a local socket answers in microseconds, a remote one in a round trip


class Addresses(NamedTuple):
    """Where to push and read, and where to call what changes something."""

    main: str
    admin: str

    @classmethod
    def given(cls, main: str | None = None, admin: str | None = None) -> Addresses:
        """Fill in what was not given: $TITAND_ADDRESS, the default socket, and the admin socket beside it.

        Raises:
            Unreachable: no socket can have such a path.
        """
        found = main_address(main)
        addresses = cls(found, main_address(admin) if admin else admin_address(found))
        for each in addresses:
            _require_short(each)
        return addresses


def main_address(given: str | None = None) -> str:
    """Return the given address, or that of $TITAND_ADDRESS, or the default.

    A bare path is taken for a Unix socket.

    >>> main_address("/run/titand/titand.sock")
    'unix:/run/titand/titand.sock'
    """
    address = given or os.environ.get("TITAND_ADDRESS") or DEFAULT_ADDRESS
    return f"unix:{address}" if address.startswith(("/", "./", "../")) else address


def admin_address(main: str) -> str:
    """Return the address for calls that change something: the sibling "admin.sock" of a Unix socket.

    >>> admin_address("unix:/run/titand/titand.sock")
    'unix:/run/titand/admin.sock'
    >>> admin_address("localhost:7070")
    'localhost:7070'
    """
    path = socket_path(main)
    return main if path is None else "unix:" + os.path.join(os.path.dirname(path), "admin.sock")


def socket_path(address: str) -> str | None:
    """Return the path of a Unix socket, None for any other address.

    >>> socket_path("unix:///run/titand/titand.sock")
    '/run/titand/titand.sock'
    """
    if not address.startswith("unix:"):
        return None
    return address[len("unix:") :].replace("//", "", 1) if address.startswith("unix://") else address[len("unix:") :]


def _require_short(address: str) -> None:
    path = os.fsencode(socket_path(address) or "")
    if len(path) > LONGEST_PATH:
        raise Unreachable(
            "UNAVAILABLE",
            "NO_CONNECTION",
            f"No connection to {address}: the path has {len(path)} bytes; that of a socket has {LONGEST_PATH} at most.",
            "Name it from a folder nearby, with 'unix:' and a relative path.",
            {"address": address},
        )


def why_unreachable(address: str, probe_seconds: float = PROBE_SECONDS) -> Unreachable | None:
    """Knock at the address, and return what is in the way; None when somebody opens."""
    try:
        _knock(address, probe_seconds)
    except OSError as error:
        return _explain(address, error)
    return None


def no_answer(address: str, seconds: float) -> Unreachable:
    """Return the error for a daemon that opens the door and then says nothing."""
    return Unreachable(
        "UNAVAILABLE",
        "NO_ANSWER",
        f"Something listens at {address} and did not answer within {seconds:g} s.",
        "It may be starting or overloaded: 'systemctl status titand' and 'journalctl -u titand' tell.",
        {"address": address},
    )


def _knock(address: str, probe_seconds: float) -> None:
    path = socket_path(address)
    if path is None and address.startswith("unix-abstract:"):
        path = "\0" + address.removeprefix("unix-abstract:")
    if path is None:
        host, _, port = re.sub(r"^(dns|ipv[46]):(//[^/]*/)?", "", address).rpartition(":")
        if not port.isdecimal():
            raise OSError(errno.EINVAL, "it is neither 'unix:PATH' nor 'HOST:PORT'")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=probe_seconds):
            return
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(probe_seconds)
        door.connect(path)


def _explain(address: str, error: OSError) -> Unreachable:
    path = socket_path(address)
    facts = {"address": address}
    if path is not None and isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return Unreachable(
            "UNAVAILABLE",
            "SOCKET_MISSING",
            f"There is no socket at {path}: titand is not running, or listens elsewhere.",
            "Start it with 'systemctl start titand', or name the address with --address or TITAND_ADDRESS.",
            facts,
        )
    if isinstance(error, PermissionError):
        group = _group_of(path or "")
        return Unreachable(
            "UNAVAILABLE",
            "PERMISSION_DENIED",
            f"This user may not use {path or address}; members of group '{group}' may.",
            "The daemon runs as root: use sudo, or run it as a service."
            if group == "root"
            else f"Join it with 'sudo usermod -aG {group} $USER' and log in again.",
            {**facts, "group": group},
        )
    if error.errno == errno.ECONNREFUSED:
        what = _leftover(path) if path else f"Nothing listens at {address}"
        return Unreachable(
            "UNAVAILABLE",
            "CONNECTION_REFUSED",
            f"{what}: no daemon is behind it.",
            "Start it with 'systemctl start titand'; 'journalctl -u titand' tells why it ended.",
            facts,
        )
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return no_answer(address, PROBE_SECONDS)
    return Unreachable(
        "UNAVAILABLE", "NO_CONNECTION", f"No connection to {address}: {error.strerror}.", "Check the address.", facts
    )


def _leftover(path: str) -> str:
    is_socket = stat.S_ISSOCK(os.stat(path).st_mode) if os.path.exists(path) else True
    return f"The socket {path} is a leftover" if is_socket else f"{path} is no socket"


def _group_of(path: str) -> str:
    """Return the group that owns the socket, or else its folder when that is what keeps us out."""
    for place in (path, os.path.dirname(path)):
        try:
            return grp.getgrgid(os.stat(place).st_gid).gr_name
        except (OSError, KeyError):
            continue
    return "titand"
