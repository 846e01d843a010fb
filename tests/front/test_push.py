"""Conversations on a push stream, against a real server on a real socket."""

import os
import threading

import grpc
import pytest

from tests.front.house import (
    LABELS,
    SAMPLE_BYTES,
    SECONDS,
    SPEC,
    Conversation,
    batch_of,
    eventually,
    failure_of,
    info_of,
)
from titan.v1.sample_service_pb2 import PushSamplesRequest, Refusal, StreamOpen
from titan.v1.training_service_pb2 import GetTrainingRequest
from titand.runtime.arena import FILLED, TRAINED


def pushed_sequences(house):
    """What lies in the arena, in order of admission, by the sequence that each sample carries."""
    return [int.from_bytes(house.arena.sample(slot), "little") for slot in house.arena.slots_in(FILLED)]


def ledger_of(stubs):
    return stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS).sample_ledger


def accepted_in(acknowledgement):
    return sum(run.count for run in acknowledgement.accepted)


def refusals_in(acknowledgement):
    return [(each.first_sequence, each.count, each.reason) for each in acknowledgement.refusals]


def test_the_opening_says_where_the_stream_stands_and_what_is_expected(house):
    here = house(max_message_bytes=1 << 20)
    with here.front(), here.stubs() as stubs:
        opened = Conversation(stubs).opened
        assert opened.acknowledged_sequence == 0
        assert opened.input_spec == SPEC
        assert tuple(opened.labels) == LABELS
        assert opened.max_message_bytes == 1 << 20
        assert opened.credit > 0


def test_samples_are_numbered_as_they_come_and_lie_in_the_arena_as_they_were_pushed(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        one, other = Conversation(stubs), Conversation(stubs)
        first = one.push(batch_of(1, [0, 1, 2], observe_times_ns=[5, 6, 7]))
        second = other.push(batch_of(1, [2]))
        third = one.push(batch_of(4, [1, 1]))
        numbers = [
            (run.first_sequence, run.first_number, run.count) for a in (first, second, third) for run in a.accepted
        ]
        assert numbers == [(1, 1, 3), (1, 4, 1), (4, 5, 2)]
        assert pushed_sequences(here) == [1, 2, 3, 1, 4, 5]
        slots = here.arena.slots_in(FILLED)
        assert [here.arena.label[slot] for slot in slots] == [0, 1, 2, 2, 1, 1]
        assert [here.arena.observed_ns[slot] for slot in slots] == [5, 6, 7, 0, 0, 0]
        assert os.eventfd_read(here.filled) == 6
        assert (ledger_of(stubs).pushed_count, ledger_of(stubs).buffered_count) == (6, 6)


def test_flawed_samples_are_refused_by_name_and_their_neighbours_taken(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        answer = stream.push(batch_of(1, [0, 9, 9, -2, 1]))
        assert [(run.first_sequence, run.count) for run in answer.accepted] == [(1, 1), (5, 1)]
        assert refusals_in(answer) == [(2, 2, "LABEL_OUT_OF_RANGE"), (4, 1, "LABEL_OUT_OF_RANGE")]
        assert {each.kind for each in answer.refusals} == {Refusal.KIND_REJECTED}
        whole = stream.push(batch_of(6, [0, 1], data=bytes(7)))
        assert refusals_in(whole) == [(6, 2, "WRONG_SIZE")]
        assert accepted_in(stream.push(batch_of(8, [0]))) == 1
        assert (ledger_of(stubs).pushed_count, ledger_of(stubs).rejected_count) == (8, 5)


def test_duplicates_are_acknowledged_and_change_nothing(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        stream.push(batch_of(1, [0, 1, 2]))
        again = stream.push(batch_of(1, [0, 1, 2]))
        assert (again.acknowledged_sequence, len(again.accepted), len(again.refusals)) == (3, 0, 0)
        overlapping = stream.push(batch_of(2, [1, 2, 0, 0]))
        assert [(run.first_sequence, run.count) for run in overlapping.accepted] == [(4, 2)]
        assert pushed_sequences(here) == [1, 2, 3, 4, 5]
        assert ledger_of(stubs).pushed_count == 5


def test_a_gap_ends_the_stream_after_what_was_settled_is_acknowledged(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        stream.send(PushSamplesRequest(batch=batch_of(1, [0, 1])))
        stream.send(PushSamplesRequest(batch=batch_of(4, [0])))
        assert stream.hear().acknowledgement.acknowledged_sequence == 2
        error = failure_of(stream.call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (info_of(error).reason, info_of(error).metadata["expected_sequence"]) == ("SEQUENCE_GAP", "3")
        again = Conversation(stubs, "camera")
        assert again.opened.acknowledged_sequence == 2
        assert accepted_in(again.push(batch_of(3, [0, 0]))) == 2


def test_a_producer_that_is_ahead_of_a_forgetful_daemon_goes_on_where_it_is(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        assert stream.opened.acknowledged_sequence == 0
        answer = stream.push(batch_of(1001, [0, 1]))
        assert [(run.first_sequence, run.count) for run in answer.accepted] == [(1001, 2)]
        assert stream.close() == []
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 1002


def test_a_stream_with_an_id_is_resumed_and_one_without_begins_anew(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        for stream_id, expected in (("camera", 3), ("", 0)):
            stream = Conversation(stubs, stream_id)
            stream.push(batch_of(1, [0, 9, 1]))
            stream.close()
            assert stream.call.code() is grpc.StatusCode.OK
            assert Conversation(stubs, stream_id).opened.acknowledged_sequence == expected


def test_the_next_front_knows_where_streams_stand(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0, 1, 2]))
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs, "camera")
        assert stream.opened.acknowledged_sequence == 3
        stream.push(batch_of(4, [0]))
        assert pushed_sequences(here) == [1, 2, 3, 4]


def test_the_newer_connection_of_a_stream_takes_over(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        older = Conversation(stubs, "camera")
        older.push(batch_of(1, [0]))
        newer = Conversation(stubs, "camera")
        assert newer.opened.acknowledged_sequence == 1
        error = failure_of(older.call)
        assert (error.code(), info_of(error).reason) == (grpc.StatusCode.ABORTED, "STREAM_TAKEN_OVER")
        assert accepted_in(newer.push(batch_of(2, [1, 2]))) == 2
        training = stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS)
        (stream,) = training.streams
        assert (stream.stream_id, stream.producer, stream.acknowledged_sequence) == ("camera", "test", 3)
        assert (stream.accepted_count, stream.rejected_count, stream.shed_count) == (2, 0, 0)


def test_a_connection_taken_over_while_it_waits_for_room_settles_nothing_more(house):
    here = house(slot_count=4, patience_seconds=60.0)
    with here.front(), here.stubs() as stubs:
        older = Conversation(stubs, "camera")
        older.send(PushSamplesRequest(batch=batch_of(1, [0] * 6)))
        assert older.hear().acknowledgement.acknowledged_sequence == 4  # and two wait for room
        newer = Conversation(stubs, "camera")
        assert newer.opened.acknowledged_sequence == 4
        assert info_of(failure_of(older.call)).reason == "STREAM_TAKEN_OVER"
        here.take(TRAINED)
        assert accepted_in(newer.push(batch_of(5, [0, 0]))) == 2
        assert pushed_sequences(here) == [5, 6]


def test_past_the_patience_samples_are_shed_counted_and_named_and_the_stream_goes_on(house):
    here = house(slot_count=4, patience_seconds=0.0)
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        answer = stream.push(batch_of(1, [0] * 6))
        assert accepted_in(answer) == 4
        assert refusals_in(answer) == [(5, 2, "ARENA_FULL")]
        assert [each.kind for each in answer.refusals] == [Refusal.KIND_SHED]
        assert answer.backoff_duration.ToNanoseconds() > 0
        assert here.take(TRAINED) == 4
        answer = stream.push(batch_of(7, [0] * 3))
        assert (accepted_in(answer), refusals_in(answer)) == (3, [])
        assert not answer.HasField("backoff_duration")
        ledger = ledger_of(stubs)
        assert (ledger.pushed_count, ledger.shed_count, ledger.selected_count) == (9, 2, 4)


def test_within_the_patience_the_stream_waits_and_nothing_is_shed(house):
    here = house(slot_count=4, patience_seconds=60.0)
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        worker = threading.Thread(
            target=lambda: eventually(lambda: here.take(TRAINED, 1) and here.arena.counters[3] == 12)
        )
        worker.start()
        answer = stream.push(batch_of(1, [0] * 12))
        worker.join()
        assert (accepted_in(answer), refusals_in(answer)) == (12, [])
        stages = stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS).stages
        assert {"admit", "wait_for_room"} <= {stage.stage for stage in stages}


def test_while_one_stream_waits_for_room_others_are_answered(house):
    here = house(slot_count=2, patience_seconds=60.0)
    with here.front(), here.stubs() as stubs:
        stuck = Conversation(stubs)
        stuck.send(PushSamplesRequest(batch=batch_of(1, [0] * 3)))
        stuck.hear()
        assert ledger_of(stubs).buffered_count == 2
        assert refusals_in(Conversation(stubs).push(batch_of(1, [9]))) == [(1, 1, "LABEL_OUT_OF_RANGE")]


def test_ten_thousand_tiny_pushes_are_each_accepted_once_and_acknowledged_together(house):
    here = house(slot_count=10_000)
    with here.front(), here.stubs() as stubs:

        def requests():
            yield PushSamplesRequest(open=StreamOpen(stream_id="drip"))
            for sequence in range(1, 10_001):
                yield PushSamplesRequest(batch=batch_of(sequence, [sequence % 3]))

        answers = [each.acknowledgement for each in stubs.samples.PushSamples(requests(), timeout=60)][1:]
        assert answers[-1].acknowledged_sequence == 10_000
        assert sum(map(accepted_in, answers)) == 10_000
        assert len(answers) < 5_000
        assert pushed_sequences(here) == list(range(1, 10_001))


def test_a_client_that_vanishes_leaves_its_place_and_nothing_else(house):
    here = house()
    with here.front() as front:
        with here.stubs() as stubs:
            Conversation(stubs, "camera").push(batch_of(1, [0, 1]))
        eventually(lambda: here.boards.read("front") is not None and not front.streams.to_plain())
        with here.stubs() as stubs:
            assert Conversation(stubs, "camera").opened.acknowledged_sequence == 2


def test_a_stream_that_stalls_keeps_nobody_waiting_and_goes_on_later(house):
    here = house(max_streams=2)
    with here.front(), here.stubs() as stubs:
        stalled = Conversation(stubs)
        for _ in range(20):
            busy = Conversation(stubs)
            busy.push(batch_of(1, [0]))
            busy.close()
        assert accepted_in(stalled.push(batch_of(1, [0]))) == 1


@pytest.mark.parametrize("count", [1, 7])
def test_streams_get_their_acknowledgements_when_the_front_stops(house, count):
    here = house()
    with here.stubs() as stubs:
        with here.front():
            streams = [Conversation(stubs) for _ in range(count)]
            for stream in streams:
                stream.send(PushSamplesRequest(batch=batch_of(1, [0, 1])))
            eventually(lambda: len(here.arena.slots_in(FILLED)) == 2 * count)
        for stream in streams:
            answers = []
            error = failure_of(stream.call, answers)
            assert answers[-1].acknowledgement.acknowledged_sequence == 2
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert info_of(error).reason == "DAEMON_STOPPING"


def test_the_largest_message_is_taken_and_a_larger_one_ends_its_stream_only(house):
    largest = 64 << 10
    here = house(slot_count=largest, max_message_bytes=largest)
    count = (largest - 64) // (SAMPLE_BYTES + 1)
    with here.front(), here.stubs() as stubs:
        stream, other = Conversation(stubs), Conversation(stubs)
        assert accepted_in(stream.push(batch_of(1, [0] * count))) == count
        stream.send(PushSamplesRequest(batch=batch_of(count + 1, [0] * (count + 100))))
        error = failure_of(stream.call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(largest) in error.details()
        assert accepted_in(other.push(batch_of(1, [0]))) == 1
        assert ledger_of(stubs).pushed_count == count + 1
