"""Batches on the wire: protobuf itself is the oracle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from titan import wire
from titan.batch import Batch, Opening, join
from titan.records import TensorSpec
from titan.stream import MESSAGE_OVERHEAD, SAMPLE_OVERHEAD, PushStream, new_stream
from titan.v1 import sample_service_pb2 as pb
from titan.v1 import tensor_pb2


@st.composite
def batches(draw):
    count = draw(st.integers(1, 40))
    size = draw(st.integers(0, 50))
    timed = draw(st.booleans())
    return Batch(
        draw(st.integers(1, 2**62)),
        TensorSpec(
            draw(st.sampled_from(["uint8", "int16", "float16", "float32"])), tuple(draw(st.lists(st.integers(0, 9))))
        ),
        draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=count, max_size=count)),
        draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count)) if timed else (),
        draw(st.binary(min_size=count * size, max_size=count * size)),
    )


@given(batches())
def test_a_batch_is_byte_for_byte_what_protobuf_makes_of_it(batch):
    data_type = getattr(tensor_pb2.TensorSpec, f"DATA_TYPE_{batch.spec.data_type.upper()}")
    expected = pb.PushSamplesRequest(
        batch=pb.SampleBatch(
            first_sequence=batch.first_sequence,
            spec=tensor_pb2.TensorSpec(data_type=data_type, shape=batch.spec.shape),
            labels=batch.labels,
            observe_times_ns=batch.observe_times_ns,
            data=batch.data,
        )
    )
    encoded = wire.encode(batch)
    assert pb.PushSamplesRequest.FromString(encoded) == expected
    if batch.data:
        assert encoded == expected.SerializeToString(deterministic=True)


@given(batches())
def test_no_message_is_larger_than_it_was_reckoned(batch):
    reckoned = len(batch.data) + batch.sample_count * SAMPLE_OVERHEAD + MESSAGE_OVERHEAD
    assert len(wire.encode(batch)) <= reckoned


@given(batches(), st.data())
def test_what_is_cut_and_joined_is_what_it_was(batch, data):
    cut = data.draw(st.integers(0, batch.sample_count))
    head, rest = batch.split(cut)
    assert (head.sample_count, rest.sample_count) == (cut, batch.sample_count - cut)
    if 0 < cut < batch.sample_count:
        assert head.goes_with(rest)
        assert rest.first_sequence == head.last_sequence + 1
        whole = join([head, rest])
        assert (list(whole.labels), bytes(whole.data)) == (list(batch.labels), batch.data)
        assert list(whole.observe_times_ns) == list(batch.observe_times_ns)


def test_the_opening_says_who_pushes():
    request = pb.PushSamplesRequest.FromString(wire.encode(Opening("id", "camera")))
    assert (request.open.stream_id, request.open.producer) == ("id", "camera")


def test_a_program_whose_name_is_no_text_can_push_too(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/srv/caf\udce9.py"])
    opening = new_stream().opening
    assert pb.PushSamplesRequest.FromString(wire.encode(opening)).open.producer.startswith("caf\ufffd.py[")


def test_a_backoff_counts_from_when_it_was_heard():
    stream = PushStream("s")
    opened = pb.StreamOpened(max_message_bytes=1000, credit=5, input_spec=wire.spec_message(TensorSpec("uint8", (1,))))
    wire.receive(stream, pb.PushSamplesResponse(opened=opened), now=0.0)
    stream.add(Batch(0, TensorSpec("uint8", (1,)), [0] * 5, (), b"12345"), now=10.0)
    said = pb.Acknowledgement(credit=5)
    said.backoff_duration.FromMilliseconds(2500)
    wire.receive(stream, pb.PushSamplesResponse(acknowledgement=said), now=10.0)
    assert stream.due(10.0) == 12.5
