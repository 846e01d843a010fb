"""Whatever a client sends, it gets a clear answer, and the next client does not notice."""

import threading

import grpc
import pytest

from tests.front.house import SECONDS, Conversation, batch_of, eventually, failure_of, info_of
from titan.v1.sample_service_pb2 import GetSampleRequest, PushSamplesRequest, Sample, SampleBatch, StreamOpen
from titan.v1.training_service_pb2 import GetTrainingRequest, WatchTrainingRequest
from titand.front.server import SHORT_CALLS
from titand.front.streams import LONG_CALLS
from titand.runtime.arena import (
    CANDIDATE,
    EVICTED,
    FILLED,
    FILTERED,
    HELD_OUT,
    INVALID,
    RELEASED,
    SELECTED,
    TRAINED,
)

OPEN = PushSamplesRequest(open=StreamOpen(stream_id="s"))
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT


def failed(stub, request, **options):
    """Return the error of a unary call."""
    with pytest.raises(grpc.RpcError) as caught:
        stub(request, timeout=SECONDS, **options)
    return caught.value


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([PushSamplesRequest()], "NOT_OPENED"),
        ([PushSamplesRequest(batch=batch_of(1, [0]))], "NOT_OPENED"),
        ([OPEN, OPEN], "BATCH_EXPECTED"),
        ([OPEN, PushSamplesRequest()], "BATCH_EXPECTED"),
        ([OPEN, PushSamplesRequest(batch=SampleBatch(first_sequence=1))], "BATCH_EMPTY"),
        ([OPEN, PushSamplesRequest(batch=SampleBatch(first_sequence=1, data=bytes(4)))], "BATCH_EMPTY"),
        ([OPEN, PushSamplesRequest(batch=batch_of(0, [0]))], "SEQUENCE_INVALID"),
        ([OPEN, PushSamplesRequest(batch=batch_of(-(2**63), [0], data=bytes(4)))], "SEQUENCE_INVALID"),
        ([OPEN, *(PushSamplesRequest(batch=batch_of(n, [0])) for n in (1, 3))], "SEQUENCE_GAP"),
        ([PushSamplesRequest(open=StreamOpen(stream_id="x" * 65))], "NAME_INVALID"),
        ([PushSamplesRequest(open=StreamOpen(stream_id="é" * 33))], "NAME_INVALID"),
        ([PushSamplesRequest(open=StreamOpen(stream_id="a\0"))], "NAME_INVALID"),
        ([PushSamplesRequest(open=StreamOpen(producer="line\nbreak"))], "NAME_INVALID"),
    ],
)
def test_a_stream_that_breaks_the_rules_ends_with_the_rule(house, messages, reason):
    with house().front(), house().stubs() as stubs:
        error = failure_of(stubs.samples.PushSamples(iter(messages), timeout=SECONDS))
        assert (error.code(), info_of(error).reason) == (INVALID_ARGUMENT, reason)
        assert info_of(error).metadata["remedy"]
        assert Conversation(stubs, "s").push(batch_of(2, [0])).acknowledged_sequence == 2


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x12\x7f", b"\x0a\x02\x0a\x05"])
def test_bytes_that_are_no_message_end_their_stream_only(house, garbage):
    with house().front(), house().stubs() as stubs:
        call = stubs.channel.stream_stream("/titan.v1.SampleService/PushSamples")
        for messages in ([garbage], [OPEN.SerializeToString(), garbage]):
            error = failure_of(call(iter(messages), timeout=SECONDS))
            assert (error.code(), info_of(error).reason) == (INVALID_ARGUMENT, "MESSAGE_UNREADABLE")
        assert Conversation(stubs).push(batch_of(1, [0])).acknowledged_sequence == 1


def test_a_sequence_at_the_end_of_its_range_is_no_crash(house):
    with house().front(), house().stubs() as stubs:
        stream = Conversation(stubs)
        last = 2**63 - 2
        assert stream.push(batch_of(last, [0], data=bytes(4))).acknowledged_sequence == last
        error = failure_of(_sent(stream, batch_of(last + 1, [0, 0, 0], data=bytes(12))))
        assert (error.code(), info_of(error).reason) == (INVALID_ARGUMENT, "SEQUENCE_INVALID")


def _sent(stream, batch):
    stream.send(PushSamplesRequest(batch=batch))
    return stream.call


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        (FILLED, Sample.FATE_WAITING),
        (CANDIDATE, Sample.FATE_CANDIDATE),
        (SELECTED, Sample.FATE_SELECTED),
        (HELD_OUT, Sample.FATE_HELD_OUT),
        (FILTERED, Sample.FATE_FILTERED),
        (EVICTED, Sample.FATE_EVICTED),
        (TRAINED, Sample.FATE_TRAINED),
        (RELEASED, Sample.FATE_RELEASED),
        (INVALID, Sample.FATE_INVALID),
    ],
)
def test_every_state_of_the_arena_is_a_fate_with_an_explanation(house, state, fate):
    here = house(slot_count=1)
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        stream.push(batch_of(1, [2]))
        here.arena.state[0] = state
        sample = stubs.samples.GetSample(GetSampleRequest(name="samples/1"), timeout=SECONDS)
        assert (sample.name, sample.fate, sample.label) == ("samples/1", fate, 2)
        assert sample.explanation.endswith(".")
        assert sample.accept_time.ToNanoseconds() == here.arena.accepted_ns[0]
        if state >= FILTERED:
            stream.push(batch_of(2, [0]))  # takes its slot
            sample = stubs.samples.GetSample(GetSampleRequest(name="samples/1"), timeout=SECONDS)
            assert (sample.fate, sample.HasField("label"), sample.HasField("accept_time")) == (fate, False, False)


def test_samples_that_nobody_knows_are_not_found_and_it_is_said_why(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        unknown = failed(stubs.samples.GetSample, GetSampleRequest(name="samples/1"))
        assert (unknown.code(), info_of(unknown).reason) == (grpc.StatusCode.NOT_FOUND, "SAMPLE_UNKNOWN")
        here.arena.counters[3] = 1_000_000  # so many were accepted since
        forgotten = failed(stubs.samples.GetSample, GetSampleRequest(name="samples/1"))
        assert (forgotten.code(), info_of(forgotten).reason) == (grpc.StatusCode.NOT_FOUND, "SAMPLE_FORGOTTEN")
        here.arena.counters[3] = 0


@pytest.mark.parametrize("name", ["", "samples/", "samples/0", "samples/-1", "samples/x", "1", "samples/" + "9" * 40])
def test_a_name_that_is_no_sample_is_refused(house, name):
    with house().front(), house().stubs() as stubs:
        error = failed(stubs.samples.GetSample, GetSampleRequest(name=name))
        assert (error.code(), info_of(error).reason) == (INVALID_ARGUMENT, "NAME_INVALID")


def test_one_push_stream_too_many_is_refused_and_short_calls_are_served_all_the_same(house):
    here = house(max_streams=3)
    with here.front(), here.stubs() as stubs, here.stubs("admin.sock") as admin:
        streams = [Conversation(stubs) for _ in range(3)]
        for each in (stubs, admin):
            error = failure_of(each.samples.PushSamples(iter([OPEN]), timeout=SECONDS))
            assert (error.code(), info_of(error).reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "TOO_MANY_STREAMS",
            )
            assert info_of(error).metadata["limit"] == "3"
            assert "ingest.max_streams" in info_of(error).metadata["remedy"]
        stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS)
        streams[0].close()
        eventually(lambda: not failed_to_open(stubs))


def failed_to_open(stubs):
    try:
        Conversation(stubs).close()
    except grpc.RpcError as error:
        return error
    return None


def test_streams_that_never_open_count_too(house):
    here = house(max_streams=2)
    done = threading.Event()

    def nothing():
        done.wait()
        yield from ()

    with here.front() as front, here.stubs() as stubs:
        silent = [stubs.samples.PushSamples(nothing(), timeout=SECONDS) for _ in range(2)]
        eventually(lambda: front.streams.push_count == 2)
        assert info_of(failure_of(stubs.samples.PushSamples(iter([OPEN]), timeout=SECONDS))).reason == (
            "TOO_MANY_STREAMS"
        )
        for call in silent:
            call.cancel()
        done.set()
        eventually(lambda: front.streams.push_count == 0)


def test_one_watch_too_many_is_refused_and_short_calls_are_served_all_the_same(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        watches = [stubs.training.WatchTraining(WatchTrainingRequest(), timeout=SECONDS) for _ in range(LONG_CALLS)]
        for watch in watches:
            next(watch)
        error = failure_of(stubs.training.WatchTraining(WatchTrainingRequest(), timeout=SECONDS))
        assert info_of(error).reason == "TOO_MANY_STREAMS"
        calls = [
            stubs.training.GetTraining.future(GetTrainingRequest(), timeout=SECONDS) for _ in range(4 * SHORT_CALLS)
        ]
        assert all(call.result().name == "training" for call in calls)
        watches[0].cancel()
        eventually(lambda: not failed_to_watch(stubs))


def failed_to_watch(stubs):
    watch = stubs.training.WatchTraining(WatchTrainingRequest(), timeout=SECONDS)
    try:
        next(watch)
    except grpc.RpcError as error:
        return error
    watch.cancel()
    return None
