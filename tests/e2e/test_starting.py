"""Starts that must fail fail with one clear sentence and a status; those that must not, do not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

import titan
from tests.e2e.daemon import ROOT, SECONDS, check_books, health_of, process_of
from tests.storage.disk import mounted_tmpfs, names, thin_disk
from titand.storage.bundles import load_newest


def refused(daemon) -> tuple[int, str]:
    """Start a daemon that will not run; return its status and what it says."""
    daemon.start()
    return daemon.ended(), daemon.log()


def check_config(daemon, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "titand.daemon", "check-config", "--config", str(daemon.config_path)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip


def test_an_unknown_key_is_named_with_the_nearest_known_one(daemons):
    daemon = daemons({"selection.candidate": 20})
    status, said = refused(daemon)
    assert status == os.EX_CONFIG
    assert "Unknown configuration key selection.candidate. Did you mean selection.candidates?" in said


def test_a_configuration_that_is_missing_is_named(daemons):
    daemon = daemons()
    daemon.config_path.unlink()
    status, said = refused(daemon)
    assert status == os.EX_CONFIG
    assert f"Cannot read {daemon.config_path}" in said


def test_check_config_shows_where_each_value_comes_from(daemons):
    result = check_config(daemons(), TITAND_TRAINING__LEARNING_RATE="0.25")
    assert result.returncode == 0, result.stderr
    assert "training.learning_rate = 0.25  # TITAND_TRAINING__LEARNING_RATE" in result.stdout
    assert "model.input.shape = [1, 8, 8]  #" in result.stdout
    assert check_config(daemons({"training.batch_size": 0})).returncode == os.EX_CONFIG


@pytest.mark.parametrize("name", ["titand.sock", "admin.sock"])
def test_a_socket_path_taken_by_something_else_is_left_alone(daemons, name):
    daemon = daemons()
    (daemon.folder / "run").mkdir()
    taken = daemon.folder / "run" / name
    taken.write_text("precious")
    status, said = refused(daemon)
    assert status == os.EX_CONFIG
    assert "SOCKET_PATH_TAKEN" in said
    assert taken.read_text() == "precious"


def test_a_socket_path_that_is_too_long_is_refused(daemons):
    daemon = daemons()
    daemon.configure({"service.runtime_directory": str(daemon.folder / ("long" * 30))})
    status, said = refused(daemon)
    assert status == os.EX_CONFIG
    assert "107 bytes" in said


def test_folders_that_cannot_be_made_are_named(daemons):
    daemon = daemons()
    (daemon.folder / "run").write_text("a file where a folder should be")
    status, said = refused(daemon)
    assert status == 1
    assert f"Cannot make {daemon.folder / 'run'}" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_runtime_folder_that_is_not_writable_is_named(daemons):
    daemon = daemons()
    (daemon.folder / "run").mkdir(mode=0o500)
    status, said = refused(daemon)
    assert status == 1
    assert str(daemon.folder / "run") in said


def test_a_stale_socket_of_a_dead_daemon_is_replaced(daemons):
    daemon = daemons()
    (daemon.folder / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(daemon.folder / "run" / "titand.sock"))
    daemon.start()
    daemon.until_log("takes samples")
    assert daemon.push(10).accepted == 10
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"model.architecture": "digits_cmn"}, "MODEL_ARCHITECTURE_UNKNOWN", "Did you mean 'digits_cnn'?"),
        ({"model.initial": "/nowhere/model.safetensors"}, "MODEL_FILE_INVALID", "/nowhere/model.safetensors"),
        pytest.param({"selection.device": "nonsense"}, "DEVICE_MISSING", "nonsense", marks=pytest.mark.nightly),
    ],
)
def test_a_model_that_cannot_be_built_is_a_state_to_look_at_and_not_the_end(daemons, changes, reason, words):
    daemon = daemons(changes).start()
    training = daemon.until(lambda training: training.state == "failed")
    assert training.state_reason == reason
    assert words in training.state_message
    assert reason in health_of(training)
    assert process_of(training, "trainer").restart_count == 1
    totals = daemon.push(50)
    assert totals.accepted == 50
    assert daemon.stop() == 0

    for key in changes:  # mended: nothing that was taken meanwhile is lost
        section, name = key.rsplit(".", 1)
        del daemon.sections[section][name]
    daemon.configure({"model.architecture": "digits_cnn", "selection.device": "cpu"})
    daemon.start()
    check_books(daemon.until(lambda training: training.round_count == 1 or training.state == "waiting"), totals)
    assert daemon.stop() == 0


def test_a_checkpoint_of_another_model_waits_for_its_model(daemons):
    """The wrong architecture by mistake: what it takes meanwhile is kept with the right one's state."""
    daemon = daemons().start()
    daemon.push(300)
    before = daemon.quiet()
    assert daemon.stop() == 0

    daemon.configure({"model.architecture": "mlp"})
    daemon.start()
    training = daemon.until(lambda training: training.state == "failed")
    assert training.state_reason == "CHECKPOINT_OTHER_MODEL"
    assert training.sample_ledger.pushed_count == 300
    assert daemon.push(20).accepted == 20
    daemon.stop()

    daemon.configure({"model.architecture": "digits_cnn"})
    daemon.start()
    training = daemon.quiet()
    assert training.round_count >= before.round_count
    assert training.sample_ledger.pushed_count == 320
    assert training.sample_ledger.is_balanced
    assert daemon.stop() == 0


@pytest.mark.nightly
def test_a_checkpoint_with_other_samples_is_neither_used_nor_replaced(daemons):
    daemon = daemons().start()
    daemon.push(100)
    assert daemon.stop() == 0
    bundles = {path: path.read_bytes() for path in (daemon.folder / "state/checkpoints").glob("*.bundle")}
    assert bundles

    daemon.configure({"model.labels": ["even", "odd"]})
    daemon.start()
    training = daemon.until(lambda training: training.state == "failed")
    assert training.state_reason == "CHECKPOINT_OTHER_MODEL"
    assert training.sample_ledger.pushed_count == 0
    daemon.stop()
    assert {path: path.read_bytes() for path in (daemon.folder / "state/checkpoints").glob("*.bundle")} == bundles


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted_tmpfs(folder, "size=4m"):
        yield folder


def fill(disk) -> None:
    """Leave no room."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_a_full_disk_is_said_and_training_goes_on(daemons, small_disk):
    daemon = daemons({"service.state_directory": str(small_disk), "storage.checkpoint_seconds": 0.2}).start()
    try:
        daemon.push(300)
        before = daemon.until(lambda training: training.round_count > 0)
        fill(small_disk)
        daemon.push(300, seed=2)
        training = daemon.until(lambda training: "NOT_DURABLE" in health_of(training))
        trouble = next(item for item in training.health if item.code == "NOT_DURABLE")
        assert " 0 bytes free" in trouble.message
        assert "are missing" in trouble.message
        assert f"{trouble.since_time:Not durable since %Y-%m-%d %H:%M:%S UTC}" in trouble.message
        assert before.daemon.start_time < trouble.since_time < training.read_time
        with pytest.raises(titan.TitanError) as caught:
            daemon.client.create_snapshot()
        assert caught.value.reason == "DISK_FULL"
        assert names(small_disk / "snapshots") == []
        daemon.push(300, seed=3)
        training = daemon.until(lambda training: training.round_count > before.round_count + 3)
        assert training.sample_ledger.is_balanced
        (small_disk / "ballast").unlink()
        daemon.push(300, seed=4)
        daemon.until(lambda training: "NOT_DURABLE" not in health_of(training))
        assert daemon.client.create_snapshot().has_file("safetensors")
        assert daemon.stop() == 0
    finally:
        daemon.clean_up()


def test_a_disk_that_fails_is_said_and_training_goes_on_until_it_is_well(daemons, tmp_path):
    """A real ext4 that has room, and fails at the flush."""
    with thin_disk(tmp_path) as disk:
        state = disk.folder / "state"
        daemon = daemons({"service.state_directory": str(state), "storage.checkpoint_seconds": 0.2}).start()
        try:
            daemon.push(300)
            daemon.until(lambda training: training.round_count > 0)
            disk.run_dry()
            daemon.push(300, seed=2)
            before = daemon.until(lambda training: "NOT_DURABLE" in health_of(training))
            assert "no space left" in next(i.message for i in before.health if i.code == "NOT_DURABLE")
            daemon.push(300, seed=3)
            daemon.until(lambda training: training.round_count > before.round_count)
            disk.refill()
            daemon.until(lambda training: "NOT_DURABLE" not in health_of(training))
            assert daemon.stop() == 0
        finally:
            daemon.clean_up()
        bundle, set_aside = load_newest(state / "checkpoints")
        assert bundle is not None
        assert set_aside == []


def test_a_disk_that_turns_read_only_is_said(daemons):
    daemon = daemons({"storage.checkpoint_seconds": 0.2})
    folder = daemon.folder / "state" / "checkpoints"  # alone: the lock beside it is open for writing
    folder.mkdir(parents=True)
    with mounted_tmpfs(folder, "size=4m"):
        daemon.start()
        try:
            daemon.push(300)
            daemon.until(lambda training: training.round_count > 0)
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            daemon.push(300, seed=2)
            training = daemon.until(lambda training: "NOT_DURABLE" in health_of(training))
            assert any("the file system is read-only" in item.message for item in training.health)
            subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
            daemon.until(lambda training: "NOT_DURABLE" not in health_of(training))
            assert daemon.stop() == 0
        finally:
            daemon.clean_up()


def test_a_disk_that_is_full_from_the_start_does_not_keep_it_from_training(daemons, small_disk):
    daemon = daemons({"service.state_directory": str(small_disk), "storage.checkpoint_seconds": 0.2})
    for folder in ("checkpoints", "snapshots"):
        (small_disk / folder).mkdir()
    fill(small_disk)
    daemon.start()
    try:
        daemon.push(300)
        training = daemon.until(lambda t: "NOT_DURABLE" in health_of(t) and t.round_count > 0)
        assert training.sample_ledger.is_balanced
        assert daemon.stop() == 1
        assert "is lost" in daemon.log()
    finally:
        daemon.clean_up()


def test_a_second_signal_does_not_disturb_an_orderly_stop(daemons):
    daemon = daemons().start()
    daemon.push(200)
    daemon.until(lambda training: training.round_count > 0)
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGHUP)
    assert daemon.ended() == 0
    assert "clean=True" in daemon.log()
