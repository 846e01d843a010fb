import errno
import json
import os
import threading

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.storage.disk import PowerCut, fail_at, mounted_tmpfs, names
from tests.storage.snapshots import MODEL, create, flip
from titand.errors import CorruptFile, InvalidRequest, NotFound, StorageError
from titand.storage.files import remove_partials
from titand.storage.snapshots import SnapshotStore
from titand.storage.tensors import RawTensor, encode_tensors


def test_a_snapshot_says_all_that_a_consumer_needs(store):
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = {"weight": RawTensor("float32", (2, 3), weight.tobytes())}

    made = store.create(
        421,
        encode_tensors(tensors),
        model=MODEL,
        create_time_ns=1_700_000_000_000_000_000,
        metrics={"held_out_accuracy": 0.94},
        parent="r00000400",
        note="before the trip",
    )

    found = store.get("r00000421")
    assert found == made
    assert found.model == MODEL
    assert (found.round, found.metrics, found.parent) == (421, {"held_out_accuracy": 0.94}, "r00000400")
    assert (load_file(store.folder / "r00000421" / "model.safetensors")["weight"] == weight).all()
    # People and other programs read the manifest as plain JSON.
    manifest = json.loads((store.folder / "r00000421" / "manifest.json").read_text())
    assert manifest["model"]["labels"] == ["null", "één"]
    assert manifest["format_version"] == 1


def test_pages_go_from_the_newest_to_the_oldest_and_meet_each_once(store):
    for round in range(1, 8):
        create(store, round)

    first = store.page(3)
    create(store, 8)  # while someone turns the pages
    second = store.page(3, first.next_page_token)
    store.delete("r00000001")
    third = store.page(3, second.next_page_token)

    rounds = [each.round for page in (first, second, third) for each in page.snapshots]
    assert rounds == [7, 6, 5, 4, 3, 2]
    assert third.next_page_token == ""
    assert store.page().snapshots[0].round == 8
    assert store.page(8 - 1).next_page_token == ""


def test_a_round_that_is_trained_again_gets_a_name_of_its_own_and_is_the_newest(store):
    create(store, 5, b"before the crash")
    create(store, 6, b"before the crash")

    again = create(store, 5, b"after the crash")

    assert again.name == "r00000005-2"
    assert [each.name for each in store.page().snapshots] == ["r00000005-2", "r00000006", "r00000005"]
    assert store.keep_newest(2) == ["r00000005"]


def test_the_same_file_of_the_same_round_is_the_same_snapshot(store):
    first = create(store, 5, note="by the schedule")
    assert create(store, 5, note="by hand") == first
    assert names(store.folder) == ["r00000005"]


def test_a_snapshot_that_is_there_already_is_made_durable_once_more(store, monkeypatch):
    """Who made it may have been killed before its name was durable, and is asked again."""
    first, synced, fsync = create(store, 5), [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_ino), fsync(descriptor)))
    assert create(store, 5) == first
    assert store.folder.stat().st_ino in synced


def test_a_rotten_snapshot_is_not_taken_for_a_new_one(store):
    create(store, 5)
    flip(store.folder / "r00000005" / "model.safetensors", 0)
    assert store.verify(create(store, 5).name).name == "r00000005-2"


@pytest.mark.parametrize(
    ("call", "nth"),
    [
        (call, nth)
        for call, last in [("fsync", 5), ("replace", 2), ("rename", 1), ("mkdir", 1)]
        for nth in range(1, last + 1)
    ],
)
@pytest.mark.parametrize("fault", [PowerCut(), OSError(errno.EIO, "Input/output error")])
def test_a_fault_at_any_step_of_a_creation_leaves_whole_snapshots_only(store, monkeypatch, call, nth, fault):
    create(store, 1)
    with monkeypatch.context() as patch:
        fail_at(patch, call, nth, fault)
        with pytest.raises((PowerCut, StorageError)):
            create(store, 2)

    renamed = (call, nth) == ("fsync", 5)
    visible = store.page()
    assert [each.round for each in visible.snapshots] == ([2, 1] if renamed else [1])
    assert visible.damaged == ()
    for each in visible.snapshots:
        store.verify(each.name)
    if not isinstance(fault, PowerCut):
        assert not [name for name in names(store.folder) if name.startswith(".")]

    remove_partials(store.folder)
    create(store, 2)
    assert names(store.folder) == ["r00000001", "r00000002"]


def test_a_full_disk_leaves_no_trace(tmp_path):
    with mounted_tmpfs(tmp_path, "size=1m") as disk:
        store = SnapshotStore(disk)
        create(store, 1, bytes(400_000))
        with pytest.raises(StorageError) as caught:
            create(store, 2, bytes(900_000))
        assert caught.value.reason == "DISK_FULL"
        assert names(disk) == ["r00000001"]


def test_verify_finds_damage_in_every_file(store):
    store_folder = store.folder / create(store, 1, b"parameters").name
    store.add_export("r00000001", "pt2", "model.pt2", [b"program"])
    for file in sorted(store_folder.iterdir()):
        assert store.verify("r00000001")
        whole = file.read_bytes()
        for offset in range(len(whole)):
            flip(file, offset, offset % 8)
            with pytest.raises(CorruptFile):
                store.verify("r00000001")
            file.write_bytes(whole)
        file.write_bytes(whole[:-1])
        with pytest.raises(CorruptFile):
            store.verify("r00000001")
        file.write_bytes(whole)


def test_a_damaged_snapshot_is_listed_as_such_and_kept(store):
    for round in (1, 2, 3):
        create(store, round)
    flip(store.folder / "r00000002" / "manifest.json", 30)
    (store.folder / "r00000003" / "manifest.json").unlink()

    page = store.page()

    assert [each.name for each in page.snapshots] == ["r00000001"]
    assert page.damaged == ("r00000002", "r00000003")
    with pytest.raises(CorruptFile, match="missing"):
        store.get("r00000003")
    assert store.keep_newest(0) == ["r00000001"]
    assert names(store.folder) == ["r00000002", "r00000003"]
    assert create(store, 2).name == "r00000002-2"


def test_a_copied_folder_is_not_another_snapshot(store):
    create(store, 1)
    os.system(f"cp -r {store.folder}/r00000001 {store.folder}/r00000009")
    with pytest.raises(CorruptFile, match="manifest of r00000001"):
        store.get("r00000009")


def test_a_download_goes_on_where_it_stopped_even_when_the_snapshot_is_deleted(store):
    create(store, 1, b"0123456789")
    with store.open_for_read("r00000001", offset_bytes=4) as file:
        assert file.read(2) == b"45"
        store.delete("r00000001")
        assert file.read() == b"6789"
    with pytest.raises(NotFound) as caught:
        store.open_for_read("r00000001")
    assert caught.value.reason == "SNAPSHOT_NOT_FOUND"
    assert names(store.folder) == []


def test_a_file_of_another_size_is_not_handed_out(store):
    create(store, 1, b"0123456789")
    os.truncate(store.folder / "r00000001" / "model.safetensors", 9)
    with pytest.raises(CorruptFile, match="9 bytes, the manifest says 10"):
        store.open_for_read("r00000001")


def test_an_offset_may_be_the_end_but_not_beyond(store):
    create(store, 1, b"0123456789")
    with store.open_for_read("r00000001", offset_bytes=10) as file:
        assert file.read() == b""
    for offset in (-1, 11):
        with pytest.raises(InvalidRequest) as caught:
            store.open_for_read("r00000001", offset_bytes=offset)
        assert caught.value.reason == "OFFSET_OUT_OF_RANGE"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "r1", "../r00000001", "r00000001/..", "r00000001-", "r0000000١", "x" * 5000, "r\0"]
)
def test_a_name_is_never_a_path(store, name):
    create(store, 1)
    for ask in (store.get, store.delete, store.verify, store.open_for_read):
        with pytest.raises(NotFound):
            ask(name)
    assert names(store.folder) == ["r00000001"]


@pytest.mark.parametrize("token", ["x", "-1", "1.5", " "])
def test_a_made_up_page_token_is_refused(store, token):
    with pytest.raises(InvalidRequest) as caught:
        store.page(1, token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_a_full_disk_refuses_snapshots_and_exports_before_a_byte_is_written(tmp_path):
    with mounted_tmpfs(tmp_path, "size=1m") as disk:
        store = SnapshotStore(disk)
        create(store, 1, b"parameters")
        before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
        for refused in (
            lambda: create(store, 2, b"", expected_bytes=600_000),
            lambda: store.add_export("r00000001", "pt2", "model.pt2", [b""], expected_bytes=600_000),
        ):
            with pytest.raises(StorageError, match="are missing") as caught:
                refused()
            assert caught.value.reason == "DISK_FULL"
        assert {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()} == before


def test_a_metric_that_is_not_a_number_is_refused(store):
    with pytest.raises(ValueError, match="JSON"):
        create(store, 1, metrics={"loss": float("nan")})
    assert names(store.folder) == []


def test_who_lists_while_another_creates_and_deletes_sees_whole_snapshots_only(store):
    done = threading.Event()
    failures = []

    def write():
        try:
            for round in range(1, 31):
                create(store, round, bytes([round]) * 50_000)
                store.keep_newest(4)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    reader = SnapshotStore(store.folder)
    while not done.is_set():
        page = reader.page()
        assert page.damaged == ()
        assert len(page.snapshots) <= 5
        for each in page.snapshots:
            try:
                seen.add(reader.verify(each.name).round)
            except NotFound:
                continue
    writer.join()

    assert not failures
    assert [each.round for each in reader.page().snapshots] == [30, 29, 28, 27]
    assert len(seen) > 1


def test_a_snapshot_says_how_it_compared_with_the_best(store):
    gate = {"verdict": "promoted", "held_out": {"difference": 0.01, "confusions": [[0, 1, 3]]}}
    made = create(store, 1, gate=gate)
    assert store.get("r00000001") == made
    assert json.loads((store.folder / "r00000001" / "manifest.json").read_text())["gate"] == gate
    assert create(store, 2).gate == {}
