"""A disk that fails, for once or for good, and heals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.disks import mounted
from tests.faults.flaky import FlakyDisk
from tests.faults.stores import Bundles, Found, Ring, Snapshots, SyncTriedAgain
from tests.front.house import Conversation, House, batch_of, config_in, eventually
from titand.errors import StorageError
from titand.runtime.arena import FILLED

STORES = pytest.mark.parametrize("kind", [Bundles, Snapshots], ids=lambda kind: kind.__name__.lower())


@pytest.fixture
def disk(tmp_path):
    with FlakyDisk(tmp_path) as disk:
        yield disk


def filled(kind, disk, size_bytes=60_000):
    """A store with two numbers in it, all of it on the medium."""
    store = kind(disk.folder, size_bytes)
    store.put(1)
    store.put(2)
    disk.forget()
    return store


@STORES
@pytest.mark.parametrize(
    ("what", "reason"),
    [("write", "IO_ERROR"), ("one write", "IO_ERROR"), ("everything", "IO_ERROR"), ("space", "DISK_FULL")],
)
def test_what_a_disk_refuses_is_named_and_done_once_it_heals(disk, tally, kind, what, reason):
    store = filled(kind, disk)
    store.get()
    Path(disk.device).read_bytes()  # of what is free in a place that it cannot read ext4 says for good: nothing
    disk.fail(what)
    with pytest.raises(StorageError) as caught:
        store.put(3)
    assert caught.value.reason == reason
    disk.heal()
    assert store.get() == Found(2)

    store.put(3)

    disk.forget()
    assert store.get() == Found(3)
    assert store.kept() >= {2, 3}
    tally[f"disk fails: {what}"] += 1


@STORES
def test_after_a_flush_that_failed_the_old_state_or_the_new_is_on_the_medium(disk, tally, kind):
    store = filled(kind, disk)
    disk.fail("flush")
    with pytest.raises(StorageError):
        store.put(3)
    with pytest.raises(StorageError):  # the file system has seen it too, and is read-only
        store.put(4)
    disk.unmount()
    with mounted(disk.image, disk.folder) as folder:
        store = kind(folder, 60_000)
        assert store.get().number in (2, 3)
        assert store.get().damaged == ()
        store.put(5)
        assert store.get() == Found(5)
    tally["disk fails: flush"] += 1


@STORES
def test_a_disk_that_cannot_be_read_costs_nothing(disk, tally, kind):
    store = filled(kind, disk)
    disk.fail("read")
    with pytest.raises(StorageError):
        store.get()
    disk.heal()
    disk.forget()
    assert store.get() == Found(2)
    tally["disk fails: read"] += 1


def test_a_bad_sector_costs_one_checkpoint_and_the_evidence_is_kept(disk, tally):
    store = filled(Bundles, disk)
    newest = max(disk.folder.glob("*.bundle"))
    contents = newest.read_bytes()
    disk.fail_sectors(newest)

    found = store.get()

    assert found == Found(1, (f"{newest.name}.broken-1",))
    disk.heal()
    disk.forget()
    assert store.get() == Found(1)
    assert newest.with_name(f"{newest.name}.broken-1").read_bytes() == contents
    store.put(3)
    assert store.get() == Found(3)
    tally["disk fails: a sector"] += 1


def test_a_bad_sector_in_a_snapshot_is_found_before_it_is_handed_out(disk, tally):
    store = filled(Snapshots, disk)
    disk.fail_sectors(max(disk.folder.glob("r*")) / "model.safetensors")
    with pytest.raises(StorageError) as caught:
        store.get()
    assert caught.value.metadata["errno"] == "EIO"
    assert "r00000002" in caught.value.message
    tally["disk fails: a sector"] += 1


@pytest.mark.parametrize("what", ["one write", "write", "everything", "space"])
def test_what_the_log_of_samples_finds_when_it_is_opened_again_is_on_the_medium(disk, tally, what):
    """The pages of a write that failed are still in memory, and look as if all were well."""
    store = Ring(disk.folder, 60_000)
    store.put(1)
    disk.fail(what)
    with pytest.raises(StorageError):
        store.put(2)
    store.close()
    disk.heal()
    found = store.get().number
    assert found >= 1

    disk.forget()

    assert store.get().number == found
    store.put(3)
    store.close()
    disk.forget()
    assert store.get() == Found(3)
    tally[f"disk fails: {what}"] += 1


@pytest.mark.parametrize("what", ["read", "everything", "a sector"])
def test_what_was_acknowledged_comes_back_once_the_disk_can_be_read_again(disk, homes, tally, what):
    folder = homes()
    (disk.folder / "log").mkdir()
    (folder / "log").symlink_to(disk.folder / "log")
    config = config_in(folder, durable=True, log_bytes=1 << 17, max_message_bytes=1 << 15)
    before, after = House(config), House(config)
    with before.front(), before.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0] * 15))
    names = sorted((disk.folder / "log").iterdir())
    disk.forget()
    if what == "a sector":
        disk.fail_sectors(*names)
    else:
        disk.fail(what)
    with after.front() as front, after.stubs() as stubs:
        eventually(front._keeping.health)
        assert [item["code"] for item in front._keeping.health()] == ["LOG_UNREADABLE"]
        disk.heal()
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 15
        assert len(after.arena.slots_in(FILLED)) == 15
        assert not front._keeping.health()
    assert sorted((disk.folder / "log").iterdir()) == names
    tally[f"disk fails: {what}"] += 1


def test_who_asks_again_after_a_failed_fsync_is_found_out(disk):
    store = filled(SyncTriedAgain, disk)
    disk.fail("one write")
    store.put(3)
    disk.heal()
    os.sync()
    disk.forget()
    assert store.get() == Found(0, ("state",))
