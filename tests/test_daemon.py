"""The composition root as a program: arguments, configuration, locks, and a torch that cannot be imported."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

import titan
import titand
from tests.e2e.conftest import daemons, homes  # noqa: F401
from tests.e2e.daemon import SECONDS, check_books, health_of, process_of
from titand.daemon import _make_folder, _take_lock
from titand.errors import AlreadyRunning, StorageError

ROOT = Path(__file__).parents[1]


def titand_says(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "titand.daemon", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_it_knows_its_version():
    assert titand_says("--version").stdout == f"titand {titand.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["surf"], ["serve", "--port", "1"], ["serve", "extra"]])
def test_misuse_is_status_two(arguments):
    result = titand_says(*arguments)
    assert result.returncode == 2
    assert "usage: titand" in result.stderr


@pytest.fixture
def config_path(tmp_path):
    path = tmp_path / "titand.toml"
    path.write_text('[model]\narchitecture = "mlp"\nlabels = ["a", "b"]\n[model.input]\nshape = [2]\n')
    return path


def test_a_configuration_is_shown_with_the_origin_of_each_value(config_path):
    result = titand_says("check-config", "--config", str(config_path), TITAND_ROUND__MIN_SAMPLES="7")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f'model.architecture = "mlp"  # {config_path}',
        f"model.input.shape = [2]  # {config_path}",
        f'model.labels = ["a", "b"]  # {config_path}',
        "round.min_samples = 7  # TITAND_ROUND__MIN_SAMPLES",
        "The configuration is valid; all other values are defaults. Whether the model can be built shows at the start.",
    ]


def test_the_file_may_be_named_by_a_variable(config_path):
    result = titand_says("check-config", TITAND_CONFIG=str(config_path))
    assert f'model.architecture = "mlp"  # {config_path}' in result.stdout


def test_a_wrong_configuration_is_one_sentence_on_standard_error_and_status_78(config_path):
    config_path.write_text("[model]\narchitecure = 'mlp'\n")
    for command in ("check-config", "serve"):
        result = titand_says(command, "--config", str(config_path))
        assert result.returncode == os.EX_CONFIG
        assert result.stderr == (
            "titand: Unknown configuration key model.architecure. Did you mean model.architecture?\n"
        )


def test_a_folder_belongs_to_the_first_that_takes_it(tmp_path):
    lock = _take_lock(tmp_path)
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}, uses {tmp_path}") as caught:
        _take_lock(tmp_path)
    assert caught.value.metadata == {"pid": str(os.getpid())}
    os.close(lock)
    os.close(_take_lock(tmp_path))


def test_a_lock_that_a_dead_daemon_left_is_no_hindrance(tmp_path):
    (tmp_path / "titand.lock").write_text("4711 and some more")
    lock = _take_lock(tmp_path)
    assert (tmp_path / "titand.lock").read_text() == str(os.getpid())
    os.close(lock)


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / "titand.lock").mkdir()
    with pytest.raises(StorageError, match=r"titand\.lock"):
        _take_lock(tmp_path)


def test_a_folder_that_cannot_be_made_is_said_to_be_the_disks_doing_only_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        _make_folder(tmp_path / "file" / "state")
    assert caught.value.reason == "FOLDER_UNUSABLE"
    assert "service.state_directory" in caught.value.remedy
    for refused, reason in ((errno.EIO, "IO_ERROR"), (errno.ENOSPC, "DISK_FULL")):

        def mkdir(*arguments, refused=refused, **options):
            raise OSError(refused, os.strerror(refused))

        monkeypatch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(StorageError, match="checkpoints") as caught:
            _make_folder(tmp_path / "checkpoints")
        assert caught.value.reason == reason
        assert "service." not in caught.value.remedy


def test_a_daemon_whose_checkpoints_cannot_be_read_stays_up_says_so_and_goes_on_once_they_can(daemons, tmp_path):  # noqa: F811
    pytest.importorskip("torch")
    daemon = daemons()
    unreadable = daemon.folder / "state" / "checkpoints" / "g0000000001.bundle"
    unreadable.mkdir(parents=True)  # whatever opens it is refused, and it is not by its contents
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SECONDS)
        daemon.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        said = [systemd.recv(4096).decode() for _ in range(3)]
        assert said[0] == "READY=1"
        assert re.match(r"STATUS=failed: .*/checkpoints: the disk failed .* Tried again after 1 s\.", said[1])
        assert said[2] == "WATCHDOG=1"
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == -signal.SIGTERM

        daemon.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        unreadable.rmdir()
        assert b"STATUS=starting" in iter(lambda: systemd.recv(4096), b"STATUS=running")
    daemon.until(lambda training: training.state == "waiting")
    assert daemon.stop() == 0


def test_a_daemon_whose_state_cannot_be_read_says_so_to_whoever_asks_and_takes_samples_once_it_can(daemons):  # noqa: F811
    pytest.importorskip("torch")
    daemon = daemons()
    unreadable = daemon.folder / "state" / "checkpoints" / "g0000000001.bundle"
    unreadable.mkdir(parents=True)  # whatever opens it is refused, and it is not by its contents
    training = daemon.start().until(lambda training: True)
    assert (training.state, training.state_reason) == ("starting", "STATE_UNREADABLE")
    assert health_of(training) == {"STATE_UNREADABLE"}
    assert "the disk failed" in training.state_message
    assert training.sample_ledger is None, "nobody knows"
    with grpc.insecure_channel(daemon.address) as channel:
        check = HealthStub(channel).Check(HealthCheckRequest(), timeout=SECONDS)
        assert check.status == HealthCheckResponse.NOT_SERVING
    shown = subprocess.run(
        [sys.executable, "-m", "titan.cli.main", "status", "--address", daemon.address],
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "STATE_UNREADABLE" in shown.stdout, shown
    assert shown.returncode == 1
    for ask in (daemon.client.snapshots, daemon.client.telemetry, lambda: daemon.client.label([1], [1])):
        with pytest.raises(titan.TitanError) as caught:
            list(ask())
        assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "STATE_UNREADABLE")
    pusher = threading.Thread(target=daemon.push, args=(300,))
    pusher.start()
    unreadable.rmdir()
    training = daemon.until(lambda training: training.round_count > 0)
    pusher.join(SECONDS)
    assert daemon.until(lambda training: training.sample_ledger.pushed_count == 300).sample_ledger.is_balanced
    assert health_of(training) == set()
    assert daemon.stop() == 0


def test_a_torch_that_cannot_be_imported_does_not_stop_samples_from_being_taken(daemons, tmp_path):  # noqa: F811
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('a wheel for another machine')\n")
    daemon = daemons().start(PYTHONPATH=str(tmp_path))
    totals = daemon.push(100)
    assert totals.accepted == 100
    training = daemon.until(lambda training: "PROCESS_CRASH_LOOP" in health_of(training))
    assert "zygote" in next(item.message for item in training.health if item.code == "PROCESS_CRASH_LOOP")
    assert process_of(training, "zygote").restart_count >= 4
    assert training.state == "starting"
    assert "a wheel for another machine" in daemon.log()
    check_books(training, totals)
    assert daemon.stop() == 0

    daemon.start(PYTHONPATH=str(tmp_path))
    training = daemon.until(lambda training: training.sample_ledger.buffered_count == 100)
    check_books(training, totals)
    assert daemon.stop() == 0
