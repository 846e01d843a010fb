import errno
import hashlib
import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.disk import PowerCut, fail_at, mounted_tmpfs, names
from titand.errors import CorruptFile, StorageError
from titand.storage.bundles import (
    Bundle,
    decode_bundle,
    encode_bundle,
    load_newest,
    newest_generation,
    read_bundle,
    write_bundle,
)
from titand.storage.files import remove_partials

SECTIONS = {"parameters": bytes(range(100)), "ledger": b'{"pushed": 7}', "empty": b""}
GOLDEN = Path(__file__).parent / "golden"


def encoded(generation=3, sections=SECTIONS):
    return b"".join(encode_bundle(generation, sections))


def plain(bundle: Bundle):
    return {name: bytes(view) for name, view in bundle.sections.items()}


def damage(path, offset=-40):
    contents = bytearray(path.read_bytes())
    contents[offset] ^= 1
    path.write_bytes(contents)


@given(st.integers(0, 10**12), st.dictionaries(st.text(max_size=9), st.binary(max_size=60), max_size=5))
def test_what_comes_out_is_what_went_in(generation, sections):
    bundle = decode_bundle(memoryview(encoded(generation, sections)), "memory")
    assert bundle.generation == generation
    assert list(plain(bundle).items()) == list(sections.items())


def test_every_flipped_bit_is_found():
    whole = encoded()
    for bit in range(8 * len(whole)):
        contents = bytearray(whole)
        contents[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFile):
            decode_bundle(memoryview(contents), "memory")


def test_every_cut_and_every_addition_is_found():
    whole = encoded()
    for length in range(len(whole)):
        with pytest.raises(CorruptFile):
            decode_bundle(memoryview(whole[:length]), "memory")
    with pytest.raises(CorruptFile):
        decode_bundle(memoryview(whole + b"\0"), "memory")


def test_the_damaged_section_is_named():
    contents = encoded()
    with pytest.raises(CorruptFile, match="section ledger fails its checksum"):
        decode_bundle(memoryview(contents.replace(b"pushed", b"Pushed")), "memory")


def test_contents_that_change_while_they_are_written_are_found():
    parameters = bytearray(100)
    pieces = encode_bundle(1, {"parameters": parameters})
    head = bytes(next(pieces))
    parameters[50] = 1
    with pytest.raises(CorruptFile, match="section parameters"):
        decode_bundle(memoryview(head + b"".join(pieces)), "memory")


def test_the_newest_generation_is_loaded_and_two_are_kept(tmp_path):
    assert load_newest(tmp_path) == (None, [])
    assert newest_generation(tmp_path) == 0
    for generation in (1, 2, 9, 10, 11):
        write_bundle(tmp_path, generation, {"round": str(generation).encode()})

    bundle, set_aside = load_newest(tmp_path)

    assert bundle is not None
    assert (bundle.generation, plain(bundle)) == (11, {"round": b"11"})
    assert set_aside == []
    assert names(tmp_path) == ["g0000000010.bundle", "g0000000011.bundle"]


def test_equal_generations_replace_and_older_ones_are_refused(tmp_path):
    write_bundle(tmp_path, 5, {"a": b"1"})
    path = write_bundle(tmp_path, 5, {"a": b"2"})
    assert plain(read_bundle(path)) == {"a": b"2"}
    with pytest.raises(ValueError, match="generation 4 is older than 5"):
        write_bundle(tmp_path, 4, {"a": b"3"})
    assert names(tmp_path) == ["g0000000005.bundle"]


def test_a_damaged_bundle_is_set_aside_as_it_is_and_the_older_one_loaded(tmp_path):
    write_bundle(tmp_path, 1, {"round": b"1"})
    newest = write_bundle(tmp_path, 2, {"round": b"2"})
    damage(newest)
    evidence = newest.read_bytes()

    bundle, set_aside = load_newest(tmp_path)

    assert bundle is not None
    assert plain(bundle) == {"round": b"1"}
    assert [each.path.name for each in set_aside] == ["g0000000002.bundle.broken-1"]
    assert "checksum" in set_aside[0].defect
    assert set_aside[0].path.read_bytes() == evidence
    assert load_newest(tmp_path)[1] == []


def test_when_all_are_damaged_none_is_loaded_and_none_is_deleted(tmp_path):
    for generation in (1, 2):
        damage(write_bundle(tmp_path, generation, SECTIONS))

    bundle, set_aside = load_newest(tmp_path)
    assert bundle is None
    assert len(set_aside) == 2

    # The same generation broken once more gets a name of its own, and writing goes on over all of it.
    damage(write_bundle(tmp_path, 2, SECTIONS))
    _, set_aside = load_newest(tmp_path)
    assert [each.path.name for each in set_aside] == ["g0000000002.bundle.broken-2"]
    for generation in (3, 4, 5):
        write_bundle(tmp_path, generation, SECTIONS)
    assert [name for name in names(tmp_path) if "broken" in name] == [
        "g0000000001.bundle.broken-1",
        "g0000000002.bundle.broken-1",
        "g0000000002.bundle.broken-2",
    ]


def test_an_unreadable_bundle_is_set_aside(tmp_path, monkeypatch):
    write_bundle(tmp_path, 1, {"round": b"1"})
    write_bundle(tmp_path, 2, {"round": b"2"})
    with monkeypatch.context() as patch:
        fail_at(patch, "fstat", 1, OSError(errno.EIO, "Input/output error"))
        bundle, set_aside = load_newest(tmp_path)
    assert bundle is not None
    assert bundle.generation == 1
    assert "Input/output error" in set_aside[0].defect


def test_a_disk_that_can_read_none_of_them_fails_and_none_is_set_aside(tmp_path, monkeypatch):
    """It may read them an hour later; a training that began anew would have written over them by then."""

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    for generation in (1, 2):
        write_bundle(tmp_path, generation, SECTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(StorageError, match="Input/output error"):
            load_newest(tmp_path)
    bundle, set_aside = load_newest(tmp_path)
    assert bundle is not None
    assert (bundle.generation, set_aside) == (2, [])


def test_a_read_only_disk_does_not_keep_the_older_state_from_being_loaded(tmp_path):
    with mounted_tmpfs(tmp_path, "size=1m") as disk:
        write_bundle(disk, 1, {"round": b"1"})
        damage(write_bundle(disk, 2, {"round": b"2"}))
        assert os.system(f"mount -o remount,ro {disk}") == 0

        bundle, set_aside = load_newest(disk)

        assert bundle is not None
        assert bundle.generation == 1
        assert set_aside[0].path.name == "g0000000002.bundle"
        assert "could not be renamed" in set_aside[0].defect


def test_a_later_format_is_neither_loaded_nor_called_broken(tmp_path):
    path = write_bundle(tmp_path, 1, SECTIONS)
    contents = bytearray(path.read_bytes())
    struct.pack_into("<I", contents, 8, 2)
    contents[-32:] = hashlib.sha256(contents[:-32]).digest()
    path.write_bytes(contents)

    with pytest.raises(StorageError) as caught:
        load_newest(tmp_path)

    assert caught.value.reason == "FORMAT_TOO_NEW"
    assert names(tmp_path) == ["g0000000001.bundle"]


@pytest.mark.parametrize(
    ("call", "nth"), [("fsync", 1), ("posix_fadvise", 1), ("replace", 1), ("fsync", 2), ("unlink", 2)]
)
@pytest.mark.parametrize("fault", [PowerCut(), OSError(errno.EIO, "Input/output error")])
def test_after_a_fault_at_any_step_a_whole_generation_is_loaded(tmp_path, monkeypatch, call, nth, fault):
    write_bundle(tmp_path, 1, {"round": b"1"})
    write_bundle(tmp_path, 2, {"round": b"2"})
    with monkeypatch.context() as patch:
        fail_at(patch, call, nth, fault)
        with pytest.raises((PowerCut, StorageError)):
            write_bundle(tmp_path, 3, {"round": b"3"})

    remove_partials(tmp_path)
    bundle, set_aside = load_newest(tmp_path)

    renamed = (call, nth) in (("fsync", 2), ("unlink", 2))
    assert bundle is not None
    assert plain(bundle) == ({"round": b"3"} if renamed else {"round": b"2"})
    assert set_aside == []
    write_bundle(tmp_path, 4, {"round": b"4"})
    assert len(names(tmp_path)) == 2


def test_a_full_disk_leaves_both_older_generations(tmp_path):
    with mounted_tmpfs(tmp_path, "size=1m") as disk:
        for generation in (1, 2):
            write_bundle(disk, generation, {"parameters": bytes(300_000)})
        with pytest.raises(StorageError) as caught:
            write_bundle(disk, 3, {"parameters": bytes(300_000)})
        assert caught.value.reason == "DISK_FULL"
        assert names(disk) == ["g0000000001.bundle", "g0000000002.bundle"]


def test_a_large_model_is_not_copied_to_be_written_and_once_to_be_read(tmp_path):
    parameters = bytearray(32 << 20)
    tracemalloc.start()
    try:
        path = write_bundle(tmp_path, 1, {"parameters": memoryview(parameters)})
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 3 << 20
        bundle = read_bundle(path)
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 35 << 20
    finally:
        tracemalloc.stop()
    assert bundle.sections["parameters"] == parameters


def test_format_1_is_readable_for_ever():
    assert plain(read_bundle(GOLDEN / "format-1.bundle")) == SECTIONS
    assert encoded() == (GOLDEN / "format-1.bundle").read_bytes()
