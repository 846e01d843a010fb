"""The ring log: what was flushed comes back, of the rest a beginning, in order; nothing else, whatever is torn."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.disk import fail_at
from titand.errors import CorruptFile, StorageError
from titand.storage.ring_file import HEADER_BYTES, SECTOR_BYTES, record_bytes
from titand.storage.ring_log import RingLog

CAPACITY = 8 * SECTOR_BYTES


def content(sequence: int, length: int) -> bytes:
    """Bytes that tell which record they are of, and where."""
    return bytes((sequence * 31 + place) % 251 for place in range(length))


@dataclass
class Writer:
    """A log, and what an outside observer knows of it."""

    path: Path
    appended: dict[int, bytes] = field(default_factory=dict)
    flushed: int = 0
    released: int = 0
    on_medium: bytes = b""

    def __post_init__(self) -> None:
        self.log = RingLog.create(self.path, CAPACITY)
        self.flush()

    def __del__(self) -> None:
        self.log.close()  # in the midst of an example too, when hypothesis gives it up

    def append(self, length: int) -> bool:
        """Append if there is room; make room by letting go of half of what was flushed."""
        if record_bytes(length) > self.log.free_bytes:
            self.flush()
            self.released = (self.released + self.flushed + 1) // 2
            self.log.release(self.released)
            self.flush()  # what is free now is free on the medium too
        if record_bytes(length) > self.log.free_bytes:
            return False
        sequence = max(self.appended, default=0) + 1
        payload = content(sequence, length)
        self.log.append(sequence, [payload[: length // 3], payload[length // 3 :]])
        self.appended[sequence] = payload
        return True

    def flush(self) -> None:
        self.log.flush()
        self.flushed = max(self.appended, default=0)
        self.on_medium = self.path.read_bytes()

    def reopen(self) -> None:
        self.log.close()
        self.log = RingLog.open(self.path)
        self.log.release(self.released)
        self.flush()


def recovered(path: Path) -> dict[int, bytes]:
    log = RingLog.open(path)
    found = list(log.recovered())
    log.close()
    sequences = [sequence for sequence, _ in found]
    assert sequences == sorted(set(sequences))
    return dict(found)


LENGTHS = st.integers(0, CAPACITY - 100)
STEPS = st.lists(st.one_of(LENGTHS, st.integers(0, 900), st.sampled_from(["flush", "reopen"])), max_size=30)


def written(path: Path, steps: list) -> Writer:
    writer = Writer(path)
    for step in steps:
        if step == "flush":
            writer.flush()
        elif step == "reopen":
            writer.reopen()
        else:
            writer.append(step)
    return writer


def check_is_a_beginning(found: dict[int, bytes], writer: Writer) -> None:
    """All that was promised and not released, then a beginning of the rest without a hole; each as it was written."""
    assert all(payload == writer.appended[sequence] for sequence, payload in found.items())
    wanted = set(range(writer.released + 1, writer.flushed + 1))
    assert wanted <= set(found)
    rest = sorted(sequence for sequence in found if sequence > writer.flushed)
    assert rest == list(range(writer.flushed + 1, writer.flushed + 1 + len(rest)))


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture(scope="module")
def quick_folders():
    """Make folders in memory: hundreds of examples flush thousands of times."""
    made = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(dir="/dev/shm")))
        return made[-1]

    yield make
    for each in made:
        shutil.rmtree(each)


@given(STEPS)
@settings(max_examples=200)
def test_whatever_dies_all_that_was_appended_comes_back(quick_folders, steps):
    writer = written(quick_folders() / "log", steps)
    found = recovered(writer.path)
    check_is_a_beginning(found, writer)
    assert set(range(writer.released + 1, len(writer.appended) + 1)) <= set(found)
    assert recovered(writer.path) == found, "reading changes nothing"


@given(STEPS, st.randoms(use_true_random=False), st.sampled_from([SECTOR_BYTES, 4096, 64]))
@settings(max_examples=400)
def test_after_a_power_cut_what_was_flushed_is_there_and_of_the_rest_a_beginning(
    quick_folders, steps, chance, tear_bytes
):
    writer = written(quick_folders() / "log", steps)
    after = writer.path.read_bytes()
    torn = bytearray(writer.on_medium)
    for start in range(0, len(after), tear_bytes):
        if chance.random() < 0.5:
            torn[start : start + tear_bytes] = after[start : start + tear_bytes]
    writer.path.write_bytes(torn)
    found = recovered(writer.path)
    check_is_a_beginning(found, writer)

    # It goes on from there, and nothing that was torn comes back behind it.
    log = RingLog.open(writer.path)
    newest = max(found, default=0)
    assert log.newest_sequence == newest
    log.release(newest)
    log.append(newest + 1, [b"later"])
    log.close()
    again = recovered(writer.path)
    assert again.pop(newest + 1) == b"later"
    assert again.items() <= found.items()


@given(STEPS, st.data())
@settings(max_examples=200)
def test_a_flipped_bit_costs_its_record_and_never_changes_one(quick_folders, steps, data):
    writer = written(quick_folders() / "log", steps)
    writer.flush()
    writer.append(10)  # knows that all the others are on the medium
    writer.flush()
    writer.append(10)  # and knows of this one as well
    before = recovered(writer.path)
    contents = bytearray(writer.path.read_bytes())
    bit = data.draw(st.integers(8 * HEADER_BYTES, 8 * len(contents) - 1))
    contents[bit // 8] ^= 1 << bit % 8
    writer.path.write_bytes(contents)
    found = recovered(writer.path)
    assert found.items() <= before.items()
    assert len(found) >= len(before) - 1


@given(st.binary(min_size=1, max_size=40), st.integers(0, HEADER_BYTES - 1))
@settings(max_examples=50)
def test_a_file_that_is_no_log_is_refused_and_left_as_it_is(quick_folders, noise, place):
    path = quick_folders() / "log"
    path.write_bytes(bytes(place) + noise)
    with pytest.raises(CorruptFile):
        RingLog.open(path)
    assert path.read_bytes() == bytes(place) + noise


def test_another_log_s_records_in_the_same_blocks_are_not_taken_for_its_own(folder):
    old = RingLog.create(folder / "old", CAPACITY)
    old.append(1, [b"old"])
    old.close()
    RingLog.create(folder / "new", CAPACITY).close()
    blocks = (folder / "old").read_bytes()[HEADER_BYTES:]
    (folder / "new").write_bytes((folder / "new").read_bytes()[:HEADER_BYTES] + blocks)
    assert recovered(folder / "old") == {1: b"old"}
    assert recovered(folder / "new") == {}


def test_a_record_behind_a_hole_does_not_come_back_when_the_hole_is_filled(folder):
    log = RingLog.create(folder / "log", CAPACITY)
    for sequence in (1, 2):
        log.append(sequence, [content(sequence, 100)])
    log.close()
    contents = bytearray((folder / "log").read_bytes())
    contents[HEADER_BYTES : HEADER_BYTES + SECTOR_BYTES] = bytes(SECTOR_BYTES)  # the first never reached the medium
    (folder / "log").write_bytes(contents)
    log = RingLog.open(folder / "log")
    assert list(log.recovered()) == []
    log.append(1, [b"fills the hole exactly"])
    log.close()
    assert recovered(folder / "log") == {1: b"fills the hole exactly"}


def test_it_is_as_long_from_the_start_as_it_will_ever_be(folder):
    log = RingLog.create(folder / "log", 1 << 20, {"kind": "samples"})
    used = (folder / "log").stat()
    assert used.st_size == HEADER_BYTES + (1 << 20)
    assert used.st_blocks * 512 >= used.st_size
    for sequence in range(1, 3000):
        log.append(sequence, [bytes(1000)])
        if log.free_bytes < 4096:
            log.release(sequence)
    assert (folder / "log").stat().st_size == used.st_size
    log.close()
    log = RingLog.open(folder / "log")
    assert log.about == {"kind": "samples"}
    log.close()


def test_a_full_log_refuses_until_it_is_told_what_it_may_write_over(folder):
    log = RingLog.create(folder / "log", CAPACITY)
    for sequence in range(1, 9):
        log.append(sequence, [b"x"])
    assert log.free_bytes == 0
    with pytest.raises(BufferError):
        log.append(9, [b"x"])
    log.release(3)
    assert log.free_bytes == 3 * SECTOR_BYTES
    with pytest.raises(ValueError, match="does not come after"):
        log.append(8, [b"x"])
    log.append(9, [b"x"])


def test_one_flush_serves_all_who_wait(folder, monkeypatch):
    log = RingLog.create(folder / "log", 1 << 20)
    entered, leave = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        entered.set()
        leave.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    log.append(1, [b"first"])
    first = threading.Thread(target=log.flush)
    first.start()
    entered.wait(10)
    others = []
    for sequence in range(2, 22):
        log.append(sequence, [b"meanwhile"])
        others.append(threading.Thread(target=log.flush))
        others[-1].start()
    leave.set()
    for each in (first, *others):
        each.join(10)
        assert not each.is_alive()
    assert log.flush_count == 2
    log.flush()
    assert log.flush_count == 2, "nothing new, no flush"


@pytest.mark.parametrize("call", ["pwritev", "fdatasync"])
def test_a_log_that_has_failed_once_is_never_trusted_again(folder, monkeypatch, call):
    log = RingLog.create(folder / "log", CAPACITY)
    log.append(1, [b"kept"])
    log.flush()
    calls = fail_at(monkeypatch, call, 1, OSError(errno.EIO, "Input/output error"))

    def keep() -> None:
        log.append(log.newest_sequence + 1, [b"in doubt"])
        log.flush()

    for attempt in (keep, keep, log.flush, lambda: log.release(1)):
        with pytest.raises(StorageError) as caught:
            attempt()
        assert caught.value.reason == "IO_ERROR"
    assert calls() == 1, "tried again on the same file"
    assert recovered(folder / "log")[1] == b"kept"


def test_those_who_wait_for_a_flush_that_fails_are_told(folder, monkeypatch):
    log = RingLog.create(folder / "log", CAPACITY)
    entered, leave = threading.Event(), threading.Event()

    def failing(descriptor: int) -> None:
        entered.set()
        leave.wait(10)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    log.append(1, [b"first"])
    told = []

    def flush() -> None:
        try:
            log.flush()
        except StorageError as error:
            told.append(error.reason)

    threads = [threading.Thread(target=flush) for _ in range(5)]
    for each in threads:
        each.start()
    entered.wait(10)
    leave.set()
    for each in threads:
        each.join(10)
    assert told == ["IO_ERROR"] * 5


def test_a_disk_without_room_for_it_is_refused_with_nothing_left_behind(folder, monkeypatch):
    fail_at(monkeypatch, "posix_fallocate", 1, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StorageError) as caught:
        RingLog.create(folder / "log", CAPACITY)
    assert caught.value.reason == "DISK_FULL"
    assert list(folder.iterdir()) == []
