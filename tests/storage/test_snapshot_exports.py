import errno

import pytest

from tests.storage.disk import PowerCut, fail_at, names
from tests.storage.snapshots import create
from titand.errors import NotFound, StorageError


def test_an_export_appears_once_it_is_whole(store, monkeypatch):
    create(store, 1)
    with monkeypatch.context() as patch:
        fail_at(patch, "replace", 2, PowerCut())  # the file is there, its manifest is not
        with pytest.raises(PowerCut):
            store.add_export("r00000001", "pt2", "model.pt2", [b"program"])
    assert store.get("r00000001").exports == ()
    with pytest.raises(NotFound) as caught:
        store.open_for_read("r00000001", file="model.pt2")
    assert caught.value.reason == "EXPORT_NOT_FOUND"

    export = store.add_export("r00000001", "pt2", "model.pt2", [b"prog", b"ram"])
    assert store.get("r00000001").exports == (export,)
    with store.open_for_read("r00000001", file="model.pt2") as file:
        assert file.read() == b"program"
    # Immutable too: what was handed out once stays.
    assert store.add_export("r00000001", "pt2", "model.pt2", [b"other"]) == export
    assert store.verify("r00000001").exports == (export,)


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_an_export_that_the_disk_refuses_leaves_nothing(store, monkeypatch, nth):
    create(store, 1)
    with monkeypatch.context() as patch:
        fail_at(patch, "fsync", nth, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(StorageError) as caught:
            store.add_export("r00000001", "pt2", "model.pt2", [b"program"])
    assert caught.value.reason == "DISK_FULL"
    assert names(store.folder / "r00000001") == ["manifest.json", "model.safetensors"]
    assert store.add_export("r00000001", "pt2", "model.pt2", [b"program"]).size_bytes == 7


def test_an_export_needs_a_snapshot_and_a_plain_name(store):
    with pytest.raises(NotFound):
        store.add_export("r00000001", "pt2", "model.pt2", [b""])
    create(store, 1)
    for file in ("../x", ".x", "model.safetensors", "manifest.json", ""):
        with pytest.raises(ValueError, match="cannot be the name"):
            store.add_export("r00000001", "pt2", file, [b""])


def test_an_export_of_a_snapshot_that_is_deleted_meanwhile_is_not_found(store):
    create(store, 1)

    def chunks():
        yield b"program"
        store.delete("r00000001")

    with pytest.raises(NotFound):
        store.add_export("r00000001", "pt2", "model.pt2", chunks())
    assert names(store.folder) == []
