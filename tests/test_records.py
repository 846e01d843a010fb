"""Records: what crosses a process border is the same on the other side."""

import json

from hypothesis import given
from hypothesis import strategies as st

from titand.records import Batch, ModelSpec, Permit, TensorSpec, from_plain, model_spec_from_plain, to_plain

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.integers(1), st.lists(st.integers(0, 999)), st.integers(-1), finite)
def test_a_batch_survives_json(round, slots, version, gain):
    batch = Batch(round, tuple(slots), tuple(0.5 for _ in slots), version, {"variance_ratio": gain, "loss": None})

    assert from_plain(Batch, json.loads(json.dumps(to_plain(batch)))) == batch


@given(st.integers(1), st.integers(0))
def test_a_permit_survives_json(round, version):
    assert from_plain(Permit, json.loads(json.dumps(to_plain(Permit(round, version))))) == Permit(round, version)


@given(
    st.lists(st.text(), min_size=1, max_size=4), st.lists(finite, max_size=3), st.lists(st.integers(1, 9), min_size=1)
)
def test_a_model_spec_survives_json(labels, mean, shape):
    spec = ModelSpec(
        "mlp", TensorSpec("uint8", tuple(shape)), tuple(labels), 0.5, tuple(mean), (), {"width": 0.25, "norm": "group"}
    )

    assert model_spec_from_plain(json.loads(json.dumps(to_plain(spec)))) == spec


def test_a_spec_counts_elements_and_bytes():
    spec = TensorSpec("float32", (3, 4, 5))

    assert (spec.item_count, spec.size_bytes) == (60, 240)
