import errno
import hashlib
import os
import resource
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.disk import PowerCut, fail_at, mounted_tmpfs, names, thin_disk
from titand.errors import StorageError
from titand.storage.files import digest_file, publish, remove_partials

CALLS = [("fsync", 1), ("posix_fadvise", 1), ("replace", 1), ("fsync", 2)]


@given(st.lists(st.binary(max_size=50)))
def test_what_is_published_is_what_was_given(tmp_path_factory, chunks):
    path = tmp_path_factory.mktemp("files") / "state"

    digest = publish(path, [memoryview(chunk) for chunk in chunks])

    contents = b"".join(chunks)
    assert path.read_bytes() == contents
    assert (digest.size_bytes, digest.sha256) == (len(contents), hashlib.sha256(contents).hexdigest())
    assert digest_file(path) == digest
    assert names(path.parent) == ["state"]


@pytest.mark.parametrize(("name", "nth"), CALLS)
def test_a_power_cut_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, name, nth):
    path = tmp_path / "state"
    publish(path, [b"old"])
    with monkeypatch.context() as patch:
        fail_at(patch, name, nth, PowerCut())
        with pytest.raises(PowerCut):
            publish(path, [b"new ", b"state"])

    assert path.read_bytes() == (b"new state" if (name, nth) == ("fsync", 2) else b"old")

    remove_partials(tmp_path)
    assert names(tmp_path) == ["state"]


def test_a_power_cut_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "state"
    publish(path, [b"old"])

    def chunks():
        yield b"half of the n"
        raise PowerCut

    with pytest.raises(PowerCut):
        publish(path, chunks())

    assert path.read_bytes() == b"old"
    assert [left.name for left in remove_partials(tmp_path)] == [".state.partial"]


@pytest.mark.parametrize(("name", "nth"), CALLS[:3])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_refusing_disk_is_named_and_the_old_file_unharmed(tmp_path, monkeypatch, name, nth, number):
    path = tmp_path / "state"
    publish(path, [b"old"])
    with monkeypatch.context() as patch:
        fail_at(patch, name, nth, OSError(number, os.strerror(number)))
        with pytest.raises(StorageError) as caught:
            publish(path, [b"new"])

    assert caught.value.metadata["errno"] == errno.errorcode[number]
    assert str(path) in caught.value.message
    assert caught.value.remedy
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state"]


def test_a_failed_fsync_is_not_tried_again_on_the_same_file(tmp_path, monkeypatch):
    path = tmp_path / "state"
    with monkeypatch.context() as patch:
        count = fail_at(patch, "fsync", 1, OSError(errno.EIO, "I/O error"))
        with pytest.raises(StorageError, match="I/O error"):
            publish(path, [b"state"])
        assert count() == 1
    # A left-over of a run that was killed right after its fsync failed is not written into either.
    stale = tmp_path / ".state.partial"
    stale.write_bytes(b"pages that the kernel believes are clean")
    with open(stale, "rb") as old:
        publish(path, [b"state"])
        assert os.fstat(old.fileno()).st_ino != path.stat().st_ino
        assert old.read() == b"pages that the kernel believes are clean"


def test_the_bytes_are_durable_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    path = tmp_path / "state"
    history = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        history.append(("fsync", os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
        fsync(descriptor)

    def recorded_replace(source, target):
        history.append(("replace", os.stat(source).st_ino, str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    publish(path, [b"state"])

    file, folder = path.stat().st_ino, tmp_path.stat()
    assert history[:2] == [("fsync", file, 5), ("replace", file, str(path))]
    assert history[2][:2] == ("fsync", folder.st_ino)
    assert len(history) == 3


def test_a_disk_that_lies_is_found_before_the_name_changes(tmp_path, monkeypatch):
    path = tmp_path / "state"
    publish(path, [b"old"])
    fsync = os.fsync

    def lying_fsync(descriptor):
        fsync(descriptor)
        os.pwrite(descriptor, b"\0", 1)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lying_fsync)
        with pytest.raises(StorageError) as caught:
            publish(path, [b"new"])

    assert caught.value.reason == "READ_BACK_DIFFERS"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state"]


def test_a_full_disk_keeps_the_old_file_and_takes_a_new_one_once_there_is_room(tmp_path):
    with mounted_tmpfs(tmp_path, "size=1m") as disk:
        publish(disk / "state", [b"old"])
        (disk / "other").write_bytes(bytes(700_000))

        with pytest.raises(StorageError) as caught:
            publish(disk / "state", [bytes(100_000)] * 8)
        assert caught.value.reason == "DISK_FULL"
        assert (disk / "state").read_bytes() == b"old"
        assert names(disk) == ["other", "state"]

        (disk / "other").unlink()
        publish(disk / "state", [bytes(100_000)] * 8)
        assert (disk / "state").stat().st_size == 800_000


def test_too_little_room_is_refused_before_a_byte_is_written(tmp_path):
    written = []

    def chunks():
        written.append(1)
        yield b""

    with mounted_tmpfs(tmp_path, "size=1m") as disk:
        with pytest.raises(StorageError, match="1,200,000 wanted") as caught:
            publish(disk / "state", chunks(), expected_bytes=600_000)
        assert caught.value.reason == "DISK_FULL"
        missing = 1_200_000 - int(caught.value.metadata["free_bytes"])
        assert f"{missing:,} are missing" in caught.value.message
        assert not written
        publish(disk / "state", chunks(), expected_bytes=500_000)


def test_used_up_inodes_and_a_read_only_disk_are_told_apart(tmp_path):
    with mounted_tmpfs(tmp_path, "size=1m,nr_inodes=3") as disk:
        publish(disk / "state", [b"old"])
        (disk / "last").touch()
        with pytest.raises(StorageError) as caught:
            publish(disk / "state", [b"new"])
        assert caught.value.reason == "DISK_FULL"
        assert "every inode is in use" in caught.value.message

        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(StorageError) as caught:
            publish(disk / "state", [b"new"])
        assert caught.value.reason == "READ_ONLY"
        assert (disk / "state").read_bytes() == b"old"


def test_a_thin_disk_is_named_and_takes_a_new_file_once_it_is_well(tmp_path):
    """A real ext4: the error comes at the flush, after it has said that there is room."""
    with thin_disk(tmp_path) as disk:
        path = disk.folder / "state"
        publish(path, [b"old"])
        disk.run_dry()
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                publish(path, [os.urandom(1 << 20)] * 2, expected_bytes=2 << 20)
            assert caught.value.metadata["errno"] == "ENOSPC"
            assert path.read_bytes() == b"old"
            assert names(disk.folder) == ["lost+found", "state"]

        disk.refill()
        new = os.urandom(1 << 20)
        publish(path, [new])
        assert path.read_bytes() == new


def test_a_size_limit_is_named(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            publish(tmp_path / "state", [bytes(2000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.reason == "FILE_TOO_LARGE"
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError) as caught:
        publish(tmp_path / "gone" / "state", [b""])
    assert caught.value.reason == "NO_SUCH_FOLDER"


def test_a_producer_that_fails_leaves_nothing_and_is_not_hidden(tmp_path):
    def chunks():
        yield b"some"
        raise KeyError("model")

    with pytest.raises(KeyError):
        publish(tmp_path / "state", chunks())
    assert names(tmp_path) == []


def test_only_partial_files_and_folders_are_removed(tmp_path):
    (tmp_path / ".a.partial").write_bytes(b"")
    (tmp_path / ".r1.partial").mkdir()
    (tmp_path / ".r1.partial" / ".model.partial").write_bytes(b"")
    (tmp_path / "r2").mkdir()
    (tmp_path / "r2" / ".model.pt2.partial").write_bytes(b"")
    (tmp_path / "r2" / "model").write_bytes(b"")
    (tmp_path / "a.partial").write_bytes(b"a file that a user gave this name")

    removed = remove_partials(tmp_path)

    assert len(removed) == 4
    assert names(tmp_path) == ["a.partial", "r2"]
    assert names(tmp_path / "r2") == ["model"]
    assert remove_partials(tmp_path) == []
