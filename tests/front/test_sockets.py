"""A socket's path is looked at before it is used, and only its group may connect."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.front.house import SECONDS, Conversation, batch_of
from titand.errors import ConfigError
from titand.front.sockets import bind


@pytest.fixture
def server():
    made = grpc.server(ThreadPoolExecutor(1))
    yield made
    made.stop(None).wait()


def refusal(server, path):
    with pytest.raises(ConfigError) as caught:
        bind(server, path)
    assert caught.value.remedy
    assert str(path) in caught.value.message
    return caught.value.reason


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_group_may_connect_and_others_may_not_whatever_the_umask(server, tmp_path, umask):
    before = os.umask(umask)
    try:
        bind(server, tmp_path / "s")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


def test_what_a_dead_daemon_left_is_replaced(house):
    here = house()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(here.folder / "titand.sock"))
    with here.front(), here.stubs() as stubs:
        assert Conversation(stubs).push(batch_of(1, [0])).acknowledged_sequence == 1


def test_both_sockets_are_gone_after_an_orderly_end(house):
    here = house()
    with here.front():
        assert {"titand.sock", "admin.sock"} <= {path.name for path in here.folder.iterdir()}
    assert not list(here.folder.glob("*.sock"))


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(server, tmp_path, kind):
    path = tmp_path / "s"
    {"file": path.touch, "folder": path.mkdir, "link": lambda: path.symlink_to("elsewhere")}[kind]()
    assert refusal(server, path) == "SOCKET_PATH_TAKEN"
    assert path.is_symlink() or path.exists()


def test_a_socket_that_somebody_listens_on_is_left_to_them(server, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert refusal(server, path) == "SOCKET_PATH_TAKEN"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_folder_that_is_missing_is_named(server, tmp_path):
    assert refusal(server, tmp_path / "nowhere" / "s") == "SOCKET_NOT_WRITABLE"


def test_a_folder_that_is_a_file_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    assert refusal(server, tmp_path / "file" / "s") == "SOCKET_NOT_WRITABLE"


def test_a_file_system_that_takes_no_sockets_is_named(server):
    assert refusal(server, Path("/proc/s")) == "SOCKET_NOT_WRITABLE"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(server, tmp_path):
    tmp_path.chmod(0o500)
    assert refusal(server, tmp_path / "s") == "SOCKET_NOT_WRITABLE"


@pytest.mark.parametrize("length", [107, 108, 200])
def test_a_path_too_long_for_a_socket_is_refused_and_the_longest_is_not(server, tmp_path, length):
    folder = tmp_path
    while len(str(folder)) < length - 60:
        folder /= "d" * 40
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("s" * (length - len(str(folder)) - 1))
    if length > 107:
        assert refusal(server, path) == "SOCKET_PATH_TOO_LONG"
    else:
        bind(server, path)
        server.start()
        with grpc.insecure_channel(f"unix:{path}") as channel:
            grpc.channel_ready_future(channel).result(SECONDS)
