"""Files that are not what was written: none is loaded, each is named, and nobody deletes it."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest

from tests.faults.damage import damaged
from tests.faults.stores import MODEL, Bundles, Found, Impostor, NoChecksum, Ring, Snapshots
from titand.errors import CorruptFile
from titand.storage.bundles import FORMAT_VERSION, load_newest, read_bundle
from titand.storage.snapshots import SnapshotStore

SIZE_BYTES = 60_000


@pytest.fixture
def folder(memory, request):
    folder = memory / request.node.name
    folder.mkdir()
    return folder


def test_of_three_hundred_damaged_checkpoints_none_is_loaded_and_each_is_set_aside_by_name(folder, tally):
    store = Bundles(folder, SIZE_BYTES)
    store.put(1)
    store.put(2)
    older, newest = sorted(folder.glob("*.bundle"))
    whole = newest.read_bytes()
    for number, (way, contents) in enumerate(damaged(whole, older.read_bytes(), 300, random.Random(1)), 1):
        newest.write_bytes(contents)

        bundle, set_aside = load_newest(folder)

        assert bundle is not None, way
        assert bundle.generation == 1, way
        (evidence,) = set_aside
        assert evidence.path.name == f"{newest.name}.broken-{number}"
        assert evidence.path.read_bytes() == contents
        assert str(newest) in evidence.defect
        assert len(evidence.defect) > len(str(newest)) + 10  # and says what is wrong with it
        tally[f"damaged files: {way}"] += 1
    assert store.get() == Found(1)
    assert len(list(folder.iterdir())) == 301


def test_of_two_hundred_damaged_snapshots_none_is_trusted_and_each_is_named(folder, tally):
    store = SnapshotStore(folder)
    for number in (1, 2):
        Snapshots(folder, SIZE_BYTES).put(number)
    older, newest = folder / "r00000001", folder / "r00000002"
    for name in ("manifest.json", "model.safetensors"):
        file = newest / name
        whole = file.read_bytes()
        for way, contents in damaged(whole, (older / name).read_bytes(), 100, random.Random(2)):
            file.write_bytes(contents)
            with pytest.raises(CorruptFile) as caught:
                store.verify("r00000002")
            assert str(file) in caught.value.message, way
            assert Snapshots(folder, SIZE_BYTES).get() == Found(1, ("r00000002",)), way
            assert file.read_bytes() == contents
            tally[f"damaged files: {way}"] += 1
        file.write_bytes(whole)
        assert store.verify("r00000002")


def test_a_damaged_snapshot_of_the_same_round_is_never_taken_for_the_answer(folder):
    Snapshots(folder, SIZE_BYTES).put(2)
    file = folder / "r00000002" / "model.safetensors"
    dice = random.Random(3)
    for count, (_, contents) in enumerate(damaged(file.read_bytes(), b"", 10, dice), 2):
        file.write_bytes(contents)
        made = SnapshotStore(folder).create(
            2, Snapshots(folder, SIZE_BYTES).pieces(2), model=MODEL, create_time_ns=count
        )
        assert made.name == "r00000002-2"
        SnapshotStore(folder).delete(made.name)


def test_of_two_hundred_damaged_logs_no_record_comes_back_other_than_it_was_written(folder, tally):
    store = Ring(folder, 6000)
    for number in range(1, 6):
        store.put(number)
        if number == 1:
            older = (folder / "samples.ring").read_bytes()
    store.close()
    path = folder / "samples.ring"
    whole = path.read_bytes()
    written = store.kept()
    assert len(written) == 4
    for way, contents in damaged(whole, older, 200, random.Random(4)):
        path.write_bytes(contents)
        with contextlib.suppress(CorruptFile):
            assert store.kept() <= written, way  # and each is looked at, byte by byte
        tally[f"damaged files: {way}"] += 1


@pytest.mark.parametrize("version", [0, 2, 255, 2**32 - 1])
def test_another_version_on_a_file_of_ours_is_damage(folder, tally, version):
    Bundles(folder).put(1)
    (path,) = folder.glob("*.bundle")
    contents = bytearray(path.read_bytes())
    assert struct.unpack_from("<I", contents, 8) == (FORMAT_VERSION,)
    struct.pack_into("<I", contents, 8, version)
    path.write_bytes(contents)
    with pytest.raises(CorruptFile):
        read_bundle(path)
    tally["damaged files: version changed"] += 1


def test_a_store_without_a_checksum_is_found_out(folder):
    store = NoChecksum(folder, SIZE_BYTES)
    store.put(1)
    older = (folder / "state").read_bytes()
    store.put(2)
    whole = (folder / "state").read_bytes()

    def is_loaded(contents):
        (folder / "state").write_bytes(contents)
        try:
            store.get()
        except Impostor:
            return True
        except ValueError:
            return False
        return False

    loaded = [is_loaded(contents) for _, contents in damaged(whole, older, 70, random.Random(1))]
    assert sum(loaded) > 35
