"""Durable ingest: what was acknowledged comes back after the end of all processes, once, and where it stood."""

from __future__ import annotations

import grpc

from tests.front.durable import checkpoint, durability, health, health_told, house_in, waiting
from tests.front.house import (
    SAMPLE_BYTES,
    SECONDS,
    Conversation,
    House,
    batch_of,
    config_in,
    counts,
    eventually,
    info_of,
)
from tests.front.process import front_process
from titan.v1.sample_service_pb2 import LabelSamplesRequest, LabelSamplesResponse, PushSamplesRequest
from titand.front.server import SHORT_CALLS
from titand.front.streams import LONG_CALLS
from titand.runtime.arena import FILLED, TRAINED
from titand.runtime.counters import LOGGED
from titand.runtime.image import restore_image


def test_after_the_end_of_all_processes_every_acknowledged_sample_is_back_once(folder):
    before = house_in(folder)
    with front_process(before) as front, before.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        for first in (1, 6, 11):
            assert stream.push(batch_of(first, [0, 1, 2, 0, 1])).acknowledged_sequence == first + 4
        front.process.kill()
    after = house_in(folder)
    with front_process(after) as front, after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 15
        assert waiting(after) == list(range(1, 16))
        front.process.kill()
    with front_process(after), after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 15
        eventually(lambda: durability(stubs).log_replayed_count == 15)  # another front does not forget
        assert [after.arena.label[slot] for slot in after.arena.slots_in(FILLED)] == [0, 1, 2, 0, 1] * 3
        assert (counts(after).pushed, counts(after).buffered, counts(after).lost) == (15, 15, 0)
    again = house_in(folder)
    with front_process(again), again.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 15
        assert waiting(again) == list(range(1, 16)), "replaying twice gives the same"


def test_what_a_checkpoint_has_is_not_put_back_and_what_it_has_not_is(folder):
    before = house_in(folder)
    with before.front(), before.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        stream.push(batch_of(1, [0] * 10))
        before.take(TRAINED, 4)
        image = checkpoint(before)
        before.take(TRAINED, 2)  # later than the checkpoint: with its parameters these are to be trained on again
        stream.push(batch_of(11, [1] * 10))
        stream.push(batch_of(21, [9]))  # refused at the door
    after = house_in(folder)
    restore_image(after.arena, image, 0)
    with after.front() as front, after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 21
        assert front._keeping.to_plain()["replayed_count"] == 10
        assert waiting(after) == list(range(5, 21))
        ledger = counts(after)
        assert (ledger.pushed, ledger.selected, ledger.buffered, ledger.rejected, ledger.lost) == (21, 4, 16, 1, 0)
        assert ledger.is_balanced


def test_a_log_with_more_than_the_arena_holds_comes_back_as_room_comes_and_streams_wait(folder):
    before = house_in(folder, slot_count=256)
    with before.front(), before.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        for first in range(1, 200, 20):
            stream.push(batch_of(first, [0] * 20))
    after = house_in(folder, slot_count=30)
    with after.front(), after.stubs() as stubs:
        eventually(lambda: len(waiting(after)) == 30)
        seen: list[int] = []

        def consume() -> bool:
            seen.extend(waiting(after))
            after.take(TRAINED)
            return len(seen) == 200

        eventually(lambda: "REPLAYING" in health(after))
        eventually(consume)
        assert seen == list(range(1, 201))
        stream = Conversation(stubs, "camera")
        assert stream.opened.acknowledged_sequence == 200
        assert stream.push(batch_of(201, [0])).accepted[0].first_number == 201
        assert counts(after).pushed == 201


def test_labels_that_come_before_everything_is_back_are_refused_and_keep_no_thread_from_others(folder):
    before = house_in(folder)
    with before.front(), before.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [-1, *[0] * 19]))
    after = house_in(folder, slot_count=10, max_streams=1)
    with after.front(), after.stubs() as stubs:
        eventually(lambda: "REPLAYING" in health_told(stubs))
        request = LabelSamplesRequest(numbers=[1], labels=[1])
        more = 2 * (LONG_CALLS + SHORT_CALLS)  # than there are threads
        calls = [stubs.samples.LabelSamples.future(request, timeout=3 * SECONDS) for _ in range(more)]
        for _ in calls:  # they do not arrive in order
            assert "REPLAYING" in health_told(stubs)
        for call in calls:
            assert call.code() == grpc.StatusCode.UNAVAILABLE
            assert info_of(call.exception()).reason == "REPLAYING"
        eventually(lambda: after.take(TRAINED) == 0 and "REPLAYING" not in health_told(stubs))
        assert list(stubs.samples.LabelSamples(request, timeout=SECONDS).outcomes) == [
            LabelSamplesResponse.OUTCOME_JOINED
        ]


def test_what_was_durable_comes_back_even_if_nothing_new_is_to_be(folder):
    before = house_in(folder)
    with before.front(), before.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0] * 5))
    after = House(config_in(folder))
    with after.front(), after.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 5
        assert waiting(after) == [1, 2, 3, 4, 5]
        checkpoint(after)
        eventually(lambda: not list(after.config.log_folder.iterdir()))
    assert SAMPLE_BYTES == 4
    assert after.arena.counters[LOGGED] > 0


def test_no_acknowledged_sample_is_lost_and_none_taken_twice_whenever_the_front_is_killed(folder):
    here = house_in(folder, slot_count=4096, log_bytes=1 << 22)
    acknowledged = 0
    for pushes in (1, 4, 9, 2):
        with front_process(here) as front, here.stubs() as stubs:
            stream = Conversation(stubs, "camera")
            assert stream.opened.acknowledged_sequence >= acknowledged
            acknowledged = stream.opened.acknowledged_sequence
            for _ in range(pushes):
                acknowledged = stream.push(batch_of(acknowledged + 1, [0] * 20)).acknowledged_sequence
            stream.send(PushSamplesRequest(batch=batch_of(acknowledged + 1, [0] * 20)))
            front.process.kill()
    after = house_in(folder, slot_count=4096, log_bytes=1 << 22)
    for house in (here, after):
        with house.front(), house.stubs() as stubs:
            stood = Conversation(stubs, "camera").opened.acknowledged_sequence
            assert acknowledged <= stood <= acknowledged + 20
            assert waiting(house) == list(range(1, stood + 1))
