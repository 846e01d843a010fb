import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from titand.storage.tensors import DATA_TYPES, RawTensor, encode_tensors

TYPES = sorted(set(DATA_TYPES) - {"bfloat16"})  # numpy has no bfloat16
arrays = st.builds(
    lambda kind, shape, fill: np.full(shape, fill).astype(kind),
    st.sampled_from(TYPES),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 100),
)
names = st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__" and name.isprintable())


def raw(array):
    return RawTensor(array.dtype.name, array.shape, array.tobytes())


@given(st.dictionaries(names, arrays, max_size=5))
def test_the_library_reads_back_every_tensor(tensors):
    contents = b"".join(encode_tensors({name: raw(array) for name, array in tensors.items()}))

    found = load(contents)

    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert (found[name] == array).all()


@given(st.dictionaries(names, arrays, max_size=5))
def test_the_bytes_are_those_that_the_library_writes(tensors):
    metadata = {"format": "pt"}
    ours = b"".join(encode_tensors({name: raw(array) for name, array in tensors.items()}, metadata))
    assert ours == save(tensors, metadata)


def test_order_does_not_change_the_bytes():
    tensors = {name: raw(np.arange(3.0)) for name in "abc"}
    metadata = {str(number): "text" for number in range(9)}
    forth = b"".join(encode_tensors(tensors, metadata))
    back = b"".join(encode_tensors(dict(reversed(tensors.items())), dict(reversed(metadata.items()))))
    assert forth == back


def test_bfloat16_and_its_alignment_are_in_the_header():
    pieces = list(
        encode_tensors({"a": RawTensor("uint8", (1,), b"x"), "b": RawTensor("bfloat16", (2,), memoryview(b"1234"))})
    )
    (length,) = struct.unpack_from("<Q", pieces[0])
    header = json.loads(pieces[0][8 : 8 + length])
    assert length % 8 == 0
    assert header["b"] == {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    assert pieces[1:] == [b"1234", b"x"]


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (RawTensor("float32", (2,), bytes(7)), "7 bytes are no float32"),
        (RawTensor("complex64", (1,), bytes(8)), "has no complex64"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tensor, sentence):
    with pytest.raises(ValueError, match=sentence):
        list(encode_tensors({"weight": tensor}))
