"""What systemd is told, received on a real datagram socket."""

from __future__ import annotations

import os
import socket

import pytest

from titand.runtime.systemd import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    """The service manager's end, and the environment that it gives a service."""
    name = f"titand-test-{os.getpid()}"
    path = str(tmp_path / "notify") if request.param == "file" else f"@{name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
        end.settimeout(30)
        yield end, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2500000"}


def test_every_state_is_a_datagram_of_its_own(manager):
    end, environment = manager
    notifier = Notifier(environment)
    notifier.ready()
    notifier.status("running")
    notifier.alive()
    notifier.reloading(1_234_567_890)
    notifier.stopping()
    assert [end.recv(4096).decode() for _ in range(5)] == [
        "READY=1",
        "STATUS=running",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=1234567",
        "STOPPING=1",
    ]


def test_the_watchdog_is_in_seconds(manager):
    assert Notifier(manager[1]).watchdog_seconds == 2.5
    assert Notifier({}).watchdog_seconds == 0


def test_without_a_manager_nothing_happens():
    notifier = Notifier({})
    notifier.ready()
    notifier.stopping()


def test_a_manager_that_is_gone_is_no_reason_to_fail(tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    notifier.alive()
