"""What arrives is judged sample by sample; struct and math are the oracle."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.v1.sample_service_pb2 import SampleBatch
from titan.v1.tensor_pb2 import TensorSpec as SpecMessage
from titand.front.convert import InputCheck, spec_message
from titand.records import ITEM_BYTES, TensorSpec

CODES = {"float16": "e", "float32": "f"}
UINT8 = InputCheck(TensorSpec("uint8", (2, 3)), class_count=4)


def batch(check, labels, data, **other):
    return SampleBatch(**{"first_sequence": 1, "spec": check.message, "labels": labels, "data": data, **other})


def flaws(check, message):
    """The reason for each sample, None where it is fine."""
    columns = check.columns(message)
    assert [run.start for run in columns.runs[1:]] == [run.stop for run in columns.runs[:-1]]
    return [run.flaw and run.flaw.reason for run in columns.runs for _ in range(run.start, run.stop)]


@pytest.mark.parametrize("name", ITEM_BYTES)
def test_every_data_type_has_a_place_on_the_wire(name):
    message = spec_message(TensorSpec(name, (4, 5)))
    assert SpecMessage.DataType.Name(message.data_type) == f"DATA_TYPE_{name.upper()}"
    assert list(message.shape) == [4, 5]


def test_columns_are_what_was_sent():
    columns = UINT8.columns(batch(UINT8, [3, 0], bytes(range(12)), observe_times_ns=[10**18, -5]))
    assert columns.labels.tolist() == [3, 0]
    assert columns.observed_ns.tolist() == [10**18, -5]
    assert columns.data.tobytes() == bytes(range(12))


@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 5), min_size=1, max_size=20))
def test_just_the_labels_out_of_range_are_refused(labels):
    found = flaws(UINT8, batch(UINT8, labels, bytes(6 * len(labels))))
    assert found == [None if -1 <= label < 4 else "LABEL_OUT_OF_RANGE" for label in labels]


@given(st.lists(st.sampled_from([-1, 0, 3, 4]), min_size=1, max_size=20))
def test_samples_without_a_label_are_kept_apart_from_those_with_one(labels):
    runs = UINT8.columns(batch(UINT8, labels, bytes(6 * len(labels)))).runs
    assert [run.is_labelled for run in runs for _ in range(run.start, run.stop)] == [label >= 0 for label in labels]


@pytest.mark.parametrize("name", CODES)
@given(data=st.data())
def test_just_the_samples_with_a_nan_or_an_infinity_are_refused(name, data):
    width = 8 * ITEM_BYTES[name]
    # Any bit pattern, and often one near the largest finite number, which shares most of its bits with infinity.
    near = st.sampled_from([0x7F7FFFFF, 0x7F800000, 0xFF7FFFFF, 0xFF800000, 0x7FC00000, 0x7F000000, 0x7F800001])
    patterns = st.integers(0, 2**width - 1) | near.map(lambda bits: bits >> (32 - width))
    count, items = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    elements = data.draw(st.lists(patterns, min_size=count * items, max_size=count * items))
    content = b"".join(bits.to_bytes(width // 8, "little") for bits in elements)
    check = InputCheck(TensorSpec(name, (items,)), class_count=1)
    values = struct.unpack(f"<{count * items}{CODES[name]}", content)
    expected = [
        None if all(map(math.isfinite, values[sample * items : (sample + 1) * items])) else "NOT_FINITE"
        for sample in range(count)
    ]
    assert flaws(check, batch(check, [0] * count, content)) == expected


def test_integers_may_have_any_bits():
    check = InputCheck(TensorSpec("int16", (2,)), class_count=1)
    assert flaws(check, batch(check, [0, 0], b"\xff" * 8)) == [None, None]


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"spec": SpecMessage(data_type=4, shape=[2, 3])}, "WRONG_TYPE", "float32"),
        ({"spec": SpecMessage(shape=[2, 3])}, "WRONG_TYPE", "no type"),
        ({"spec": None}, "WRONG_TYPE", "no type"),
        ({"spec": SpecMessage(data_type=77, shape=[2, 3])}, "WRONG_TYPE", "no type"),
        ({"spec": SpecMessage(data_type=1, shape=[3, 2])}, "WRONG_SHAPE", "3x2"),
        ({"spec": SpecMessage(data_type=1)}, "WRONG_SHAPE", "no shape"),
        ({"spec": SpecMessage(data_type=1, shape=[-1, 3])}, "WRONG_SHAPE", "-1x3"),
        ({"data": bytes(11)}, "WRONG_SIZE", "11 bytes"),
        ({"data": bytes(13)}, "WRONG_SIZE", "13 bytes"),
        ({"data": b""}, "WRONG_SIZE", "0 bytes"),
        ({"observe_times_ns": [1]}, "WRONG_TIMES", "1 observe times"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_sample_by_sample_with_what_was_found(change, reason, words):
    columns = UINT8.columns(batch(UINT8, **{"labels": [0, 1], "data": bytes(12), **change}))
    (run,) = columns.runs
    assert (run.start, run.stop, run.flaw.reason) == (0, 2, reason)
    assert words in run.flaw.message
