"""Samples out of the arena: the right rows, the right type, normalised; numpy is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.arenas import new_arena
from titand.records import ModelSpec, TensorSpec
from titand.workers.samples import SampleReader

SLOTS = 9
CPU = torch.device("cpu")


@given(
    st.sampled_from(["uint8", "int16", "float16", "float32"]),
    st.sampled_from([(4,), (3, 2), (2, 3, 5), (1, 1)]),
    st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=12),
    st.integers(0, 100),
)
def test_rows_come_as_they_were_pushed_and_normalised(data_type, shape, slots, seed):
    generator = np.random.default_rng(seed)
    spec = ModelSpec("mlp", TensorSpec(data_type, shape), ("a",) * 300, 0.5, (2.0,), (4.0,))
    arena = new_arena(SLOTS, spec.input.size_bytes)
    pushed = (generator.random((SLOTS, *shape)) * 200).astype(data_type)
    arena.data[:] = memoryview(pushed.tobytes())
    for slot in range(SLOTS):
        arena.label[slot] = slot * 31
    reader = SampleReader(arena, spec, CPU)
    expected = (pushed[slots].astype(np.float32) * 0.5 - 2.0) / 4.0
    read = reader.inputs(slots)
    assert read.dtype == torch.float32
    np.testing.assert_allclose(read.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert reader.labels(slots).tolist() == [slot * 31 for slot in slots]
    assert reader.labels(slots).dtype == torch.int64


def test_what_is_read_does_not_change_when_the_slot_is_filled_anew():
    spec = ModelSpec("mlp", TensorSpec("float32", (2,)), ("a", "b"))
    arena = new_arena(2, 8)
    reader = SampleReader(arena, spec, CPU)
    before = reader.inputs([1])
    arena.sample(1)[:] = np.array([5.0, 6.0], np.float32).tobytes()
    assert before.tolist() == [[0.0, 0.0]]
    assert reader.inputs([1]).tolist() == [[5.0, 6.0]]


@pytest.mark.device
def test_rows_arrive_on_the_accelerator():
    if not torch.cuda.is_available():
        pytest.skip("no accelerator")
    spec = ModelSpec("mlp", TensorSpec("uint8", (4,)), ("a", "b"), 0.5)
    arena = new_arena(3, 4)
    arena.data[:] = memoryview(bytes(range(12)))
    read = SampleReader(arena, spec, torch.device("cuda")).inputs([2, 0])
    assert read.device.type == "cuda"
    assert read.cpu().tolist() == [[4.0, 4.5, 5.0, 5.5], [0.0, 0.5, 1.0, 1.5]]
