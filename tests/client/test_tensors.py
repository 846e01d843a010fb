"""Arrays in all their forms; numpy is the oracle where it is there."""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta, timezone

import pytest

from titan import samples
from titan.errors import InvalidSample
from titan.records import TensorSpec
from titan.tensors import label_number, label_numbers, tensor
from titan.v1.sample_service_pb2 import SampleBatch

SPEC = TensorSpec("uint8", (2, 2))


class Interface:
    """An array that only numpy's array interface describes, as an image of Pillow is."""

    def __init__(self, typestr, shape, data, strides=None):
        self.__array_interface__ = {
            "version": 3, "typestr": typestr, "shape": shape, "data": data, "strides": strides,
        }  # fmt: skip


@pytest.mark.parametrize(("code", "name"), [("B", "uint8"), ("h", "int16"), ("f", "float32")])
def test_a_plain_array_is_taken_without_numpy_and_without_a_copy(code, name):
    values = array(code, [1, 2, 3])
    spec, data = tensor(values)
    assert spec == TensorSpec(name, (3,))
    assert data.tobytes() == values.tobytes()
    values[0] = 7
    assert data.tobytes() == values.tobytes()


@pytest.mark.parametrize("name", ["uint8", "int16", "float16", "float32"])
@pytest.mark.parametrize("layout", ["C", "F", "every second", "reversed", "read-only", "little-endian"])
def test_an_array_of_any_layout_comes_out_row_by_row(name, layout):
    numpy = pytest.importorskip("numpy")
    values = numpy.arange(24).reshape(2, 3, 4).astype(name)
    values = {
        "C": values,
        "F": numpy.asfortranarray(values),
        "every second": values[:, :, ::2],
        "reversed": values[::-1],
        "read-only": values,
        "little-endian": values.astype(numpy.dtype(name).newbyteorder("<")),
    }[layout]
    values.flags.writeable = layout != "read-only"
    spec, data = tensor(values)
    assert spec == TensorSpec(name, values.shape)
    assert data.tobytes() == values.tobytes()


def test_a_scalar_is_a_tensor_without_extents():
    numpy = pytest.importorskip("numpy")
    spec, data = tensor(numpy.float32(2.5))
    assert spec == TensorSpec("float32", ())
    assert data.tobytes() == numpy.float32(2.5).tobytes()


def test_the_array_interface_is_enough():
    values = array("f", [1.0, 2.0])
    address, _ = values.buffer_info()
    for data in (values.tobytes(), (address, True)):
        spec, found = tensor(Interface("<f4", (1, 2), data))
        assert spec == TensorSpec("float32", (1, 2))
        assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (array("d", [1.0]), "WRONG_DATA_TYPE"),
        (array("q", [1]), "WRONG_DATA_TYPE"),
        (memoryview(b"abcd").cast("c"), "WRONG_DATA_TYPE"),
        (Interface(">f4", (1,), b"abcd"), "WRONG_DATA_TYPE"),
        (Interface("|u1", (2, 2), b"abcd", strides=(4, 2)), "NOT_CONTIGUOUS"),
        ([1.0, 2.0], "NOT_AN_ARRAY"),
        ("text", "NOT_AN_ARRAY"),
        (None, "NOT_AN_ARRAY"),
    ],
)
def test_what_is_no_sample_is_refused_with_a_remedy(thing, reason):
    with pytest.raises(InvalidSample) as caught:
        tensor(thing)
    assert caught.value.reason == reason
    assert caught.value.remedy


@pytest.mark.parametrize("name", [">f4", "float64", "bool", "complex64", "datetime64[s]", "U3"])
def test_numpy_types_that_do_not_travel_are_refused(name):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InvalidSample) as caught:
        tensor(numpy.zeros(3, numpy.dtype(name)))
    assert caught.value.reason == "WRONG_DATA_TYPE"


def test_a_wrong_type_is_named_as_its_array_names_it():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InvalidSample, match="this is 'int64'"):
        tensor(numpy.zeros(3, "i8"))


@pytest.mark.parametrize("label", ["cat", 1.5, None, 2**31, -(2**31) - 1])
def test_a_label_is_an_integer_of_32_bits(label):
    with pytest.raises(InvalidSample):
        label_number(label)


def test_labels_may_be_numpys():
    numpy = pytest.importorskip("numpy")
    assert label_numbers(numpy.array([1, 2], numpy.int64)) == [1, 2]
    assert label_number(numpy.uint8(3)) == 3
    with pytest.raises(InvalidSample):
        label_numbers(numpy.array([1.0, 2.0]))


def test_bytes_are_what_the_server_takes():
    batch = samples.one(b"abcd", 1, None, SPEC)
    assert (batch.spec, bytes(batch.data)) == (SPEC, b"abcd")


def test_a_stack_of_samples_is_one_batch():
    stack = memoryview(bytes(range(12))).cast("B", (3, 2, 2))
    (batch,) = samples.many(stack, [0, 1, 2], None, None)
    assert (batch.spec, batch.sample_count, bytes(batch.data)) == (SPEC, 3, bytes(range(12)))
    (batch,) = samples.many(bytes(range(12)), [0, 1, 2], [1.0, 2.0, 3.0], SPEC)
    assert (batch.spec, list(batch.observe_times_ns)) == (SPEC, [10**9, 2 * 10**9, 3 * 10**9])


def test_a_list_of_samples_may_mix_shapes():
    found = list(samples.many([b"abcd", array("f", [1.0])], [0, 1], [1.0, 2.0], SPEC))
    assert [batch.spec for batch in found] == [SPEC, TensorSpec("float32", (1,))]
    assert [batch.observe_times_ns for batch in found] == [(10**9,), (2 * 10**9,)]


@pytest.mark.parametrize(
    ("xs", "labels", "times"),
    [
        (bytes(12), [0, 1], None),
        (bytes(11), [0, 1], None),
        ([b"abcd"], [0, 1], None),
        (memoryview(bytes(12)).cast("B", (3, 2, 2)), [0, 1], None),
        (bytes(8), [0, 1], [1.0]),
    ],
)
def test_there_is_one_label_for_each_sample(xs, labels, times):
    with pytest.raises(InvalidSample) as caught:
        list(samples.many(xs, labels, times, SPEC))
    assert caught.value.reason == "COUNT_MISMATCH"


@pytest.mark.parametrize("xs", [bytes(12), [b"abcd"] * 3, memoryview(bytes(12)).cast("B", (3, 2, 2))])
def test_labels_that_come_later_are_said_to(xs):
    for labels, expected in ((None, [-1, -1, -1]), ([1, None, 2], [1, -1, 2])):
        found = [label for batch in samples.many(xs, labels, None, SPEC) for label in batch.labels]
        assert found == expected


def test_no_samples_are_no_batch():
    assert list(samples.many([], [], None, SPEC)) == []
    assert list(samples.many(b"", [], None, SPEC)) == []


def test_an_empty_sample_is_refused():
    with pytest.raises(InvalidSample, match="no bytes"):
        samples.one(b"", 0, None, SPEC)


def test_times_are_moments():
    moment = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert samples.nanoseconds(moment) == int(moment.timestamp()) * 10**9
    with pytest.raises(InvalidSample, match="no time zone"):
        samples.nanoseconds(datetime(2026, 1, 1))


@pytest.mark.parametrize("moment", [float("nan"), float("-inf"), 1e30, 2.0**63 / 1e9, "noon", None])
def test_what_is_no_time_is_refused_and_never_reaches_the_wire(moment):
    with pytest.raises(InvalidSample) as caught:
        samples.nanoseconds(moment)
    assert caught.value.reason == "TIME_INVALID"


def test_the_farthest_times_are_taken_as_protobuf_takes_them():
    far = [samples.nanoseconds(moment) for moment in (-9223372036.0, 9223372036.0)]
    assert list(SampleBatch.FromString(SampleBatch(observe_times_ns=far).SerializeToString()).observe_times_ns) == far
