"""Where the daemon is, and the four ways of not reaching it, on real sockets."""

from __future__ import annotations

import grp
import os
import socket

import pytest

from titan.address import LONGEST_PATH, Addresses, socket_path, why_unreachable
from titan.errors import Unreachable

NOBODY = 65534


def test_an_address_comes_from_the_argument_or_the_environment_or_the_default(monkeypatch):
    monkeypatch.delenv("TITAND_ADDRESS", raising=False)
    assert Addresses.given() == ("unix:/run/titand/titand.sock", "unix:/run/titand/admin.sock")
    monkeypatch.setenv("TITAND_ADDRESS", "unix:/tmp/other/titand.sock")
    assert Addresses.given() == ("unix:/tmp/other/titand.sock", "unix:/tmp/other/admin.sock")
    assert Addresses.given("host:7070") == ("host:7070", "host:7070")
    assert Addresses.given("/a/s", "/b/t") == ("unix:/a/s", "unix:/b/t")


@pytest.mark.parametrize(
    ("address", "path"),
    [("unix:/a/b", "/a/b"), ("unix:///a/b", "/a/b"), ("unix:a/b", "a/b"), ("dns:///host:1", None), ("host:1", None)],
)
def test_a_unix_address_has_a_path(address, path):
    assert socket_path(address) == path


def test_no_socket_is_told_apart(folder):
    for name in ("none", "none/deeper"):
        found = why_unreachable(f"unix:{folder}/{name}")
        assert found.reason == "SOCKET_MISSING"
        assert f"{folder}/{name}" in found.message


def test_a_socket_that_nobody_listens_behind_is_told_apart(folder):
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert why_unreachable(f"unix:{path}") is None
    assert why_unreachable(f"unix:{path}").reason == "CONNECTION_REFUSED"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("folder_mode", "socket_mode"), [(0o755, 0o660), (0o750, 0o666)])
@pytest.mark.parametrize(("name", "remedy"), [("daemon", "usermod -aG daemon"), ("root", "use sudo")])
def test_a_socket_that_we_may_not_use_names_the_group_that_may(folder, folder_mode, socket_mode, name, remedy):
    path, group = folder / "s", grp.getgrnam(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        for place, mode in ((folder, folder_mode), (path, socket_mode)):
            os.chown(place, 0, group.gr_gid)
            os.chmod(place, mode)
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            found = why_unreachable(f"unix:{path}")
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
    assert found.reason == "PERMISSION_DENIED"
    assert found.metadata["group"] == name
    assert remedy in found.remedy


def test_a_socket_whose_queue_is_full_does_not_answer(folder):
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(path)
            assert why_unreachable(f"unix:{path}", probe_seconds=0.05).reason == "NO_ANSWER"
        finally:
            for each in waiting:
                each.close()


def test_a_port_that_nobody_listens_on_is_told_apart():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"dns:///127.0.0.1:{port}", f"ipv4:127.0.0.1:{port}"):
        assert why_unreachable(address).reason == "CONNECTION_REFUSED", address


@pytest.mark.parametrize("address", ["no-port", "host:word", "ftp://host/"])
def test_what_is_no_address_is_said_to_be_none(address):
    found = why_unreachable(address)
    assert found.reason == "NO_CONNECTION"
    assert "HOST:PORT" in found.message


def test_an_abstract_socket_is_knocked_at_too():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0titan-test")
        listener.listen()
        assert why_unreachable("unix-abstract:titan-test") is None
    assert why_unreachable("unix-abstract:titan-test").reason == "CONNECTION_REFUSED"


def test_what_is_no_socket_is_not_called_one(folder):
    (folder / "notes.txt").write_text("")
    for path in (folder, folder / "notes.txt"):
        assert why_unreachable(f"unix:{path}").message == f"{path} is no socket: no daemon is behind it."


@pytest.mark.parametrize("address", ["/" + "z" * 107, "unix:///" + "z" * 107, "unix:" + "ü" * 54])
def test_a_path_that_no_socket_can_have_is_refused_before_anything_is_tried(address):
    with pytest.raises(Unreachable, match="108 bytes; that of a socket has 107 at most"):
        Addresses.given(address)
    assert Addresses.given("/" + "z" * 90).admin == "unix:/admin.sock"


def test_the_longest_path_that_is_let_through_is_the_longest_that_the_kernel_takes():
    with pytest.raises(FileNotFoundError), socket.socket(socket.AF_UNIX) as door:
        door.connect("/" + "z" * (LONGEST_PATH - 1))
    with pytest.raises(OSError, match="too long"), socket.socket(socket.AF_UNIX) as door:
        door.connect("/" + "z" * LONGEST_PATH)
