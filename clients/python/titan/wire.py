"""What a `PushStream` says, as bytes; and what the server answers, told to the stream.

The header of a batch goes through protobuf, the samples do not: as the last field they are put behind it as they are,
which saves the copies that protobuf makes of a `bytes` field. The result is byte for byte what protobuf makes.
"""

from __future__ import annotations

from titan.batch import Batch, Opening
from titan.convert import record
from titan.records import AcceptedRun, Refusal, TensorSpec
from titan.stream import PushStream
from titan.v1 import sample_service_pb2 as pb
from titan.v1 import tensor_pb2

BATCH_TAG = b"\x12"  # PushSamplesRequest.batch, field 2
DATA_TAG = b"\x7a"  # SampleBatch.data, field 15


def encode(message: Opening | Batch) -> bytes:
    """Serialise what the stream wants to send."""
    if isinstance(message, Opening):
        opening = pb.StreamOpen(stream_id=message.stream_id, producer=message.producer)
        return pb.PushSamplesRequest(open=opening).SerializeToString()
    header = pb.SampleBatch(
        first_sequence=message.first_sequence,
        spec=spec_message(message.spec),
        labels=message.labels,
        observe_times_ns=message.observe_times_ns,
    ).SerializeToString()
    data = message.data
    length = _varint(len(data))
    total = len(header) + len(DATA_TAG) + len(length) + len(data)
    return b"".join((BATCH_TAG, _varint(total), header, DATA_TAG, length, data))


def receive(stream: PushStream, response: pb.PushSamplesResponse, now: float) -> list[Refusal]:
    """Tell the stream what the server said, and return the refusals that are news."""
    if response.HasField("opened"):
        opened = response.opened
        stream.opened(
            opened.acknowledged_sequence,
            record(TensorSpec, opened.input_spec),
            tuple(opened.labels),
            opened.max_message_bytes,
            opened.credit,
        )
        return []
    said = response.acknowledgement
    return stream.acknowledge(
        said.acknowledged_sequence,
        [record(AcceptedRun, run) for run in said.accepted],
        [record(Refusal, refusal) for refusal in said.refusals],
        said.credit,
        now + said.backoff_duration.seconds + said.backoff_duration.nanos / 1e9,
    )


def spec_message(spec: TensorSpec) -> tensor_pb2.TensorSpec:
    """Return type and shape as a message."""
    return tensor_pb2.TensorSpec(data_type=f"DATA_TYPE_{spec.data_type.upper()}", shape=spec.shape)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
