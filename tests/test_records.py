"""What crosses a process border goes through JSON and comes back equal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.records import (
    ITEM_BYTES,
    Batch,
    ModelSpec,
    Permit,
    TensorSpec,
    from_plain,
    model_spec_from_plain,
    to_plain,
)

number = st.integers(0, 1 << 62)
finite = st.floats(allow_nan=False, allow_infinity=False)
specs = st.builds(TensorSpec, st.sampled_from(sorted(ITEM_BYTES)), st.lists(st.integers(1, 50), max_size=4).map(tuple))
permits = st.builds(Permit, number, number)
facts = st.dictionaries(st.text(max_size=8), finite | st.integers() | st.none() | st.lists(st.integers(), max_size=3))
batches = st.builds(
    Batch,
    number,
    st.lists(st.integers(0, 1 << 20), max_size=20).map(tuple),
    st.lists(finite, max_size=20).map(tuple),
    number,
    facts,
)
models = st.builds(
    ModelSpec,
    st.text(min_size=1),
    specs,
    st.lists(st.text(), max_size=5).map(tuple),
    finite,
    st.lists(finite, max_size=3).map(tuple),
    st.lists(finite, max_size=3).map(tuple),
    st.dictionaries(st.text(), st.integers() | st.booleans()),
)


def through_json(record):
    return json.loads(json.dumps(to_plain(record)))


@given(permits)
def test_a_permit_comes_back(permit):
    assert from_plain(Permit, through_json(permit)) == permit


@given(batches)
def test_a_batch_comes_back_with_weights_to_the_last_bit(batch):
    assert from_plain(Batch, through_json(batch)) == batch


@given(models)
def test_a_models_description_comes_back(model):
    assert model_spec_from_plain(through_json(model)) == model


@given(specs)
def test_the_size_of_a_sample_is_the_product_of_its_parts(spec):
    items = 1
    for extent in spec.shape:
        items *= extent
    assert spec.item_count == items
    assert spec.size_bytes == items * {"uint8": 1, "int16": 2, "float16": 2, "float32": 4}[spec.data_type]


def test_a_field_that_is_not_known_is_refused():
    with pytest.raises(TypeError):
        from_plain(Permit, {"round": 1, "version": 0, "surprise": True})
