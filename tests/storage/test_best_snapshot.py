import errno

import pytest

from tests.storage.disk import PowerCut, fail_at
from tests.storage.snapshots import create
from titand.errors import NotFound, StorageError
from titand.storage.snapshots import SnapshotStore


def test_the_best_is_the_one_that_was_promoted_last(store):
    assert store.best == ""
    for round in (1, 2, 3):
        create(store, round)
    store.promote("r00000001")
    assert store.best == "r00000001"
    store.promote("r00000003")
    assert SnapshotStore(store.folder).best == "r00000003"
    assert (store.folder / "best" / "model.safetensors").read_bytes() == b"parameters of round 3"
    assert [each.name for each in store.page().snapshots] == ["r00000003", "r00000002", "r00000001"]


def test_the_best_outlives_newer_ones_and_is_none_when_it_is_deleted(store):
    for round in range(1, 6):
        create(store, round)
    store.promote("r00000002")
    assert store.keep_newest(1) == ["r00000004", "r00000003", "r00000001"]
    assert store.best == "r00000002"
    store.delete("r00000002")
    assert store.best == ""


@pytest.mark.parametrize("name", ["r00000009", "../x", "best"])
def test_only_what_is_there_can_be_promoted(store, name):
    create(store, 1)
    with pytest.raises(NotFound):
        store.promote(name)
    assert store.best == ""


@pytest.mark.parametrize("target", ["/etc", "..", "r00000007", "nonsense"])
def test_an_alias_that_leads_elsewhere_is_no_best(store, target):
    (store.folder / "best").symlink_to(target)
    assert store.best == ""


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "no space"), PowerCut()])
@pytest.mark.parametrize("call", ["symlink", "replace"])
def test_a_fault_in_a_promotion_leaves_the_best_as_it_was(store, monkeypatch, call, fault):
    for round in (1, 2):
        create(store, round)
    store.promote("r00000001")
    with monkeypatch.context() as patch:
        fail_at(patch, call, 1, fault)
        with pytest.raises((StorageError, PowerCut)):
            store.promote("r00000002")
    assert store.best == "r00000001"
    store.promote("r00000002")
    assert store.best == "r00000002"
