"""The log of samples when it is full, damaged, another model's, or on a disk that refuses."""

from __future__ import annotations

import errno
import os
import re
import threading

import grpc
import pytest

from tests.front.durable import LOG_BYTES, checkpoint, health, health_told, house_in, names_in, waiting
from tests.front.house import SECONDS, Conversation, House, batch_of, config_in, counts, eventually, info_of
from titan.v1.sample_service_pb2 import LabelSamplesRequest
from titand.front import keeping
from titand.runtime.arena import TRAINED
from titand.storage.ring_log import RingLog


def test_one_flush_serves_many_samples(folder):
    here = house_in(folder)
    with here.front() as front, here.stubs() as stubs:
        stream = Conversation(stubs)
        for first in range(1, 500, 50):
            stream.push(batch_of(first, [0] * 50))
            here.take(TRAINED)
        assert front._keeping.to_plain()["flush_count"] <= 20


def test_a_full_log_asks_for_a_checkpoint_and_goes_on_when_there_is_one(folder):
    here = house_in(folder, log_bytes=1 << 16, slot_count=4096)
    with here.front() as front, here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        first = 1
        while not front._keeping.to_plain()["is_checkpoint_wanted"]:
            stream.push(batch_of(first, [0] * 20))
            first += 20
        for _ in range(200):
            stream.push(batch_of(first, [0] * 20))
            first += 20
            here.take(TRAINED)
            checkpoint(here)
        assert stream.close() == []
        assert counts(here).shed == 0
        assert counts(here).pushed == first - 1


def test_without_a_checkpoint_a_full_log_stops_the_stream_then_sheds_and_counts_it(folder):
    here = house_in(folder, log_bytes=1 << 16, slot_count=4096, patience_seconds=0.0)
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        first, refusals = 1, []
        while not refusals:
            refusals = stream.push(batch_of(first, [0] * 20)).refusals
            first += 20
        assert [(each.reason, each.count) for each in refusals] == [("LOG_FULL", 20)]
        accepted = first - 21
    after = house_in(folder, slot_count=4096)
    with after.front(), after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == first - 1
        assert (counts(after).pushed, counts(after).shed, counts(after).buffered) == (first - 1, 20, accepted)


def test_a_failed_flush_costs_the_file_not_the_service_and_says_so_until_a_checkpoint_has_everything(
    folder, monkeypatch
):
    here = house_in(folder)
    with here.front() as front, here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        stream.push(batch_of(1, [0] * 5))
        real, fails = os.fdatasync, []

        def failing(descriptor: int) -> None:
            if not fails:
                fails.append(descriptor)
                raise OSError(errno.EIO, "Input/output error")
            assert descriptor != fails[0], "the same file again"
            real(descriptor)

        monkeypatch.setattr(os, "fdatasync", failing)
        assert stream.push(batch_of(6, [0] * 5)).acknowledged_sequence == 10
        eventually(lambda: "NOT_DURABLE" in health(here))
        front._keeping._samples._tried_ns = 0  # it waits some seconds before it makes a new file
        eventually(lambda: here.boards.read("front").content["log"]["is_checkpoint_urgent"])
        assert "NOT_DURABLE" in health(here)
        assert stream.push(batch_of(11, [0] * 5)).acknowledged_sequence == 15
        checkpoint(here)
        eventually(lambda: not health(here))
        assert len(list(here.config.log_folder.iterdir())) == 1
        stream.push(batch_of(16, [0] * 5))
    assert fails


def test_a_damaged_log_is_set_aside_by_name_and_samples_are_taken(folder):
    here = house_in(folder)
    with here.front(), here.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0] * 5))
    (log,) = here.config.log_folder.iterdir()
    evidence = b"x" + log.read_bytes()[1:]
    log.write_bytes(evidence)
    after = house_in(folder)
    with after.front(), after.stubs() as stubs:
        eventually(lambda: "LOG_SET_ASIDE" in health(after))
        assert Conversation(stubs, "camera").push(batch_of(6, [0] * 5)).acknowledged_sequence == 10
    names = sorted(path.name for path in here.config.log_folder.iterdir())
    assert [bool(re.search("broken-1$", name)) for name in names] == [False, True]
    assert (here.config.log_folder / names[1]).read_bytes() == evidence


@pytest.mark.parametrize("refused", [errno.EIO, errno.EACCES, errno.EMFILE], ids=errno.errorcode.get)
def test_a_log_that_cannot_be_opened_is_left_alone_and_streams_wait_until_it_can(folder, monkeypatch, refused):
    here = house_in(folder)
    with here.front(), here.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0] * 15))
    before, real, broken = names_in(here), os.open, threading.Event()
    broken.set()

    def opening(path, *others, **more):
        if broken.is_set() and str(path).endswith(".ring"):
            raise OSError(refused, os.strerror(refused))
        return real(path, *others, **more)

    monkeypatch.setattr(os, "open", opening)
    after = house_in(folder)
    with after.front() as front, after.stubs() as stubs:
        eventually(lambda: front._keeping.health())
        assert [item["code"] for item in front._keeping.health()] == ["LOG_UNREADABLE"]
        assert not front._keeping.is_readable
        eventually(lambda: "LOG_UNREADABLE" in health_told(stubs))
        with pytest.raises(grpc.RpcError) as caught:
            stubs.samples.LabelSamples(LabelSamplesRequest(numbers=[1], labels=[1]), timeout=SECONDS)
        assert info_of(caught.value).reason == "REPLAYING"
        assert names_in(after) == before
        broken.clear()
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 15
        assert waiting(after) == list(range(1, 16))
        assert counts(after).lost == 0
        assert front._keeping.is_readable
        assert front._keeping.health() == []
    assert names_in(after) == before


def test_a_front_that_is_stopped_while_the_log_cannot_be_read_leaves_it_to_the_next(folder, monkeypatch):
    here = house_in(folder)
    with here.front(), here.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0] * 15))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", unreadable := Failing(os.pread, first=1, last=10**9))
        with house_in(folder).front():
            eventually(lambda: unreadable.calls)
    after = house_in(folder)
    with after.front(), after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 15
        assert waiting(after) == list(range(1, 16))


class Failing:
    """A call for a log that the disk refuses from the n-th to the m-th time."""

    def __init__(self, real, first: int, last: int) -> None:
        self.real, self.first, self.last = real, first, last
        self.calls = 0

    def __call__(self, descriptor, *arguments):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".ring"):
            self.calls += 1
            if self.first <= self.calls <= self.last:
                raise OSError(errno.EIO, "Input/output error")
        return self.real(descriptor, *arguments)


@pytest.mark.parametrize("call", ["pread", "fdatasync"])
def test_one_error_while_the_log_is_read_costs_nothing_whichever_call_it_is(folder, monkeypatch, call):
    monkeypatch.setattr(keeping, "RETRY_SECONDS", (0.01,))
    here = house_in(folder)
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        stream.push(batch_of(1, [0] * 5))
        stream.push(batch_of(6, [0] * 5))
    before, nth, is_over = names_in(here), 0, False
    while not is_over:
        nth += 1
        after = house_in(folder)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing := Failing(getattr(os, call), nth, nth))
            with after.front(), after.stubs() as stubs:
                assert Conversation(stubs, "camera").opened.acknowledged_sequence == 10
                assert waiting(after) == list(range(1, 11)), nth
                assert counts(after).lost == 0
                is_over = failing.calls < nth
        assert names_in(after) == before
    assert nth > 2


def test_a_log_of_other_samples_is_not_touched(folder):
    here = house_in(folder)
    with here.front(), here.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0] * 5))
    (log,) = here.config.log_folder.iterdir()
    before = log.read_bytes()
    other = House(config_in(folder, shape=(3, 3), durable=True, log_bytes=LOG_BYTES, max_message_bytes=LOG_BYTES // 4))
    with other.front():
        eventually(lambda: "NOT_DURABLE" in health(other))
    assert log.read_bytes() == before


def test_a_record_that_makes_no_sense_is_set_aside_with_its_log_and_streams_open(folder):
    here = house_in(folder)
    path = here.config.log_folder / "samples-0000000001.ring"
    log = RingLog.create(path, LOG_BYTES, {"samples": here.config.sample_fingerprint})
    log.append(1, [b"what a bug may have written"])
    log.close()
    with here.front() as front, here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        stream.push(batch_of(1, [0] * 5))
        assert {item["code"] for item in front._keeping.health()} == {"LOG_SET_ASIDE", "NOT_DURABLE"}
        front._keeping._samples._tried_ns = 0  # it waits some seconds before it makes a new file
        eventually(lambda: here.boards.read("front").content["log"]["is_checkpoint_urgent"])
        checkpoint(here)
        eventually(lambda: health(here) == {"LOG_SET_ASIDE"})
        stream.push(batch_of(6, [0] * 5))
    assert path.with_name(f"{path.name}.broken-1").exists()
    after = house_in(folder)
    with after.front(), after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 10
