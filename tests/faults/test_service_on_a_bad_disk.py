"""The disk under a running daemon fails: it says so, goes on training, and keeps checkpoints again once it can."""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import titan
from tests.e2e.daemon import health_of, process_of
from tests.faults.disks import run
from tests.faults.flaky import FlakyDisk
from titand.clock import SystemClock
from titand.storage.bundles import read_bundle
from titand.workers.checkpoints import facts_of

pytest.importorskip("torch", reason="the daemon's workers need torch")


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with FlakyDisk(tmp_path_factory.mktemp("disk")) as disk:
        yield disk


@pytest.fixture(scope="module")
def daemon(daemons, disk):
    """A daemon that keeps its checkpoints on the disk, and writes one every moment."""
    daemon = daemons({"storage.checkpoint_seconds": 0.1, "storage.daily_bytes": 10**13})
    state = daemon.folder / "state"
    state.mkdir()
    for name in ("checkpoints", "snapshots"):
        (disk.folder / name).mkdir()
        (state / name).symlink_to(disk.folder / name)
    daemon.pushed = 0
    daemon.start()
    train(daemon)
    yield daemon
    daemon.clean_up()


def train(daemon, wanted=lambda training: True):
    """Push, wait until it was trained on and the training is as wanted, check the ledger."""
    rounds = daemon.until(lambda training: training.state in ("waiting", "active")).round_count
    daemon.pushed += daemon.push(300, seed=daemon.pushed).pushed
    training = daemon.until(lambda training: training.round_count > rounds and wanted(training))
    assert training.sample_ledger.is_balanced
    assert training.sample_ledger.pushed_count == daemon.pushed
    assert training.sample_ledger.lost_count == 0
    return training


def said(training) -> str:
    """What the health list says of checkpoints; nothing as long as they are written."""
    return "".join(item.message for item in training.health if item.code == "NOT_DURABLE")


# ---- faults: each does its harm, and returns what has to be said of it and what mends it


def no_room(daemon, disk):
    ballast = disk.folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return "bytes free", ballast.unlink


def no_inode(daemon, disk):
    full = disk.folder / "full"
    full.mkdir()
    with contextlib.suppress(OSError):
        for number in range(10**6):
            (full / str(number)).touch()
    return "every inode is in use", lambda: shutil.rmtree(full)


def read_only(daemon, disk):
    clock = SystemClock()
    tried_ns = clock.monotonic_ns()
    while True:
        try:
            run("mount", "-o", "remount,ro", disk.folder)
            break
        except OSError as error:  # a checkpoint is being written at this moment
            if "busy" not in str(error) or clock.monotonic_ns() - tried_ns > 10e9:
                raise
    return "the file system is read-only", lambda: run("mount", "-o", "remount,rw", disk.folder)


def broken(daemon, disk):
    disk.fail("write")
    return "the disk failed (Input/output error)", disk.heal


def thin(daemon, disk):
    """The medium is smaller than it says."""
    disk.fail("space")
    return "no space left", disk.heal


def limited(daemon, kind: int, most: int) -> Callable[[], object]:
    """Let the trainer have no more than so much of something; return what lifts that."""
    pid = process_of(daemon.training(), "trainer").pid
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (most, before[1]))
    return lambda: resource.prlimit(pid, kind, before)


def no_long_file(daemon, disk):
    return "the file exceeds a size limit", limited(daemon, resource.RLIMIT_FSIZE, 10_000)


def no_descriptor(daemon, disk):
    return "too many open files", limited(daemon, resource.RLIMIT_NOFILE, 0)


FAULTS = [
    *(no_room, no_inode, read_only, broken),
    *(pytest.param(fault, marks=pytest.mark.nightly) for fault in (thin, no_long_file, no_descriptor)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.replace("_", " "))
def test_training_goes_on_says_what_is_wrong_and_heals_by_itself(daemon, disk, tally, fault):
    words, mend = fault(daemon, disk)
    try:
        train(daemon, lambda training: words in said(training))
        train(daemon)
    finally:
        mend()
    training = train(daemon, lambda training: not said(training))
    for name in ("front", "selector", "trainer"):
        assert process_of(training, name).restart_count == 0
    tally[f"disk fails under a running daemon: {fault.__name__.replace('_', ' ')}"] += 1


@pytest.mark.nightly
def test_a_snapshot_on_a_bad_sector_is_refused_by_name_and_handed_out_once_it_can_be_read(daemon, disk, tally):
    made = daemon.client.create_snapshot(note="on a bad sector")
    path = daemon.folder / "model.safetensors"
    disk.fail_sectors(disk.folder / "snapshots" / Path(made.name).name / path.name)
    with pytest.raises(titan.TitanError) as caught:
        daemon.client.export_model(path, made.name)
    assert caught.value.reason == "IO_ERROR"
    assert "the disk failed (Input/output error)" in caught.value.message
    disk.heal()
    daemon.client.export_model(path, made.name)
    assert path.stat().st_size > 0
    tally["disk fails under a running daemon: a sector"] += 1


def test_after_all_that_a_stop_is_orderly_and_a_bad_sector_costs_one_checkpoint(daemon, disk, tally):
    before = daemon.quiet()
    assert daemon.stop() == 0
    newest = max(disk.folder.glob("checkpoints/*.bundle"))
    assert facts_of(read_bundle(newest)).clean
    disk.fail_sectors(newest)

    daemon.start()

    training = daemon.until(lambda training: training.state == "waiting")
    assert health_of(training) == {"CHECKPOINT_SET_ASIDE"}
    (said,) = (item.message for item in training.health)
    assert newest.name in said
    assert "the disk cannot read it" in said
    assert 0 < training.round_count <= before.round_count
    assert training.sample_ledger.is_balanced
    assert training.sample_ledger.pushed_count <= daemon.pushed
    daemon.pushed = training.sample_ledger.pushed_count
    daemon.push(300)
    daemon.until(lambda after: after.round_count > training.round_count)
    assert daemon.stop() == 0
    tally["disk fails under a running daemon: a sector"] += 1


@pytest.mark.nightly
def test_a_disk_that_cannot_be_read_keeps_the_daemon_from_beginning_anew(daemon, disk, tally):
    before = daemon.start().until(lambda training: training.round_count > 0)
    assert daemon.stop() == 0
    disk.heal()
    disk.forget()
    disk.fail("read")

    daemon.start()

    assert "Input/output error" in daemon.until_log("cannot start yet")
    assert not daemon.ends_within(2.0)
    disk.heal()
    after = daemon.until(lambda training: training.round_count > 0)
    assert after.round_count >= before.round_count
    assert daemon.stop() == 0
    tally["disk fails under a running daemon: read"] += 1
