"""Raw values to normalised ones, against the formula in numpy's float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from titand.errors import ModelError
from titand.learning.preprocess import Preprocess
from titand.records import ModelSpec, TensorSpec

LABELS = ("a", "b")
RAW = {
    "uint8": np.array([[[0, 255]], [[7, 128]], [[3, 254]]], np.uint8),
    "int16": np.array([[[-32768, 32767]], [[0, -1]], [[5, 17]]], np.int16),
    "float16": np.array([[[-1.5, 2.25]], [[0, 1]], [[60000, 1e-3]]], np.float16),
    "float32": np.array([[[-1.5, 2.25]], [[0, 1]], [[1e6, 1e-6]]], np.float32),
}
number = st.floats(-3, 3)
positive = st.floats(0.1, 3)


@pytest.mark.parametrize("data_type", RAW)
@given(st.floats(1e-3, 2), st.tuples(number, number, number), st.tuples(positive, positive, positive))
def test_every_pushed_type_is_scaled_and_shifted_per_channel(data_type, scale, mean, std):
    raw = RAW[data_type]
    spec = ModelSpec("mlp", TensorSpec(data_type, raw.shape), LABELS, scale=scale, mean=mean, std=std)

    x = Preprocess(spec)(torch.from_numpy(raw)[None])

    column = (3, 1, 1)
    expected = (raw.astype(np.float64) * scale - np.reshape(mean, column)) / np.reshape(std, column)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x[0].numpy(), expected, rtol=1e-5, atol=1e-4)


def test_one_mean_serves_all_channels():
    spec = ModelSpec("mlp", TensorSpec("uint8", (3, 1, 2)), LABELS, mean=(100.0,), std=(50.0,))

    x = Preprocess(spec)(torch.from_numpy(RAW["uint8"])[None])

    np.testing.assert_allclose(x[0].numpy(), (RAW["uint8"].astype(np.float64) - 100) / 50, rtol=1e-6)


def test_raw_values_are_left_alone_even_as_float32():
    raw = torch.ones(2, 3)

    Preprocess(ModelSpec("mlp", TensorSpec("float32", (3,)), LABELS, scale=5.0, mean=(1.0,)))(raw)

    assert torch.equal(raw, torch.ones(2, 3))


def test_normalisation_is_part_of_no_state():
    assert not Preprocess(ModelSpec("mlp", TensorSpec("uint8", (3,)), LABELS)).state_dict()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mean": (0.5, 0.5)}, "mean has 2 entries"),
        ({"std": (1.0, 1.0, 1.0, 1.0)}, "std has 4 entries"),
        ({"std": (1.0, 0.0, 1.0)}, "zero"),
        ({"std": (float("nan"),)}, "finite"),
        ({"mean": (float("inf"),)}, "finite"),
        ({"scale": float("nan")}, "finite"),
    ],
)
def test_a_normalisation_that_makes_no_sense_is_refused(options, word):
    with pytest.raises(ModelError, match=word) as caught:
        Preprocess(ModelSpec("mlp", TensorSpec("uint8", (3, 2, 2)), LABELS, **options))

    assert caught.value.reason == "MODEL_NORMALISATION_INVALID"
