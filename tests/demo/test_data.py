"""The data sets are what they say, and nothing that judges a model was ever streamed."""

from __future__ import annotations

import hashlib
import os
import re

import numpy as np
import pytest

from titand.demo import data
from titand.errors import CorruptFile, NotFound


def test_the_digits_are_scikit_learns():
    # Its published checksums: 1,797 digits, this many of each, pixel sum 561,718.
    digits = data.digits()
    value = np.concatenate([digits.train.input, digits.test.input])
    label = np.concatenate([digits.train.label, digits.test.label])
    assert value.shape == (1797, 1, 8, 8)
    assert value.dtype == np.uint8
    assert np.bincount(label).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (value.min(), value.max(), value.sum(dtype=int)) == (0, 16, 561718)


def test_the_first_digit_looks_like_a_zero():
    assert data.digits().train.label[0] == 0
    assert data.digits().train.input[0, 0].tolist()[:3] == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
    ]


def test_no_digit_is_both_streamed_and_judged():
    digits = data.digits()
    streamed = {each.tobytes() for each in digits.train.input}
    assert not streamed & {each.tobytes() for each in digits.test.input}
    assert (len(digits.train), len(digits.test)) == (1437, 360)


def test_the_attribution_is_in_the_package():
    text = (data.HERE / "digits.md").read_text()
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text


def test_what_ships_is_small():
    assert sum(path.stat().st_size for path in data.HERE.glob("digits*")) < 200_000


def test_moments_are_those_of_the_streamed_part():
    digits = data.digits()
    mean, std = digits.moments()
    assert mean == pytest.approx(sum(map(int, digits.train.input.ravel())) / digits.train.input.size)
    assert std**2 + mean**2 == pytest.approx(np.mean(np.square(digits.train.input.astype(float))))


def test_a_file_of_ones_own_is_split_by_chance_without_overlap(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.arange(50), y=np.arange(50) % 3)
    mine = data.load(str(tmp_path / "mine.npz"))
    assert sorted([*mine.train.input, *mine.test.input]) == list(range(50))
    assert len(mine.test) == 10
    assert (mine.train.label == mine.train.input % 3).all()
    assert (mine.test.label == mine.test.input % 3).all()


def test_a_missing_data_set_says_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(NotFound, match="apt-get install dataset-fashion-mnist"):
        data.fashion_mnist(tmp_path / "nowhere")
    monkeypatch.setenv("TITAND_DATA", str(tmp_path))
    with pytest.raises(NotFound, match=data.MOTIONSENSE_SHA256):
        data.load("motionsense")


def test_another_file_under_the_name_of_a_data_set_is_refused(tmp_path):
    (tmp_path / data.MOTIONSENSE).write_bytes(b"something else")
    with pytest.raises(CorruptFile, match=re.escape(data.MOTIONSENSE)):
        data.load(str(tmp_path / data.MOTIONSENSE))


def test_a_checked_file_is_returned_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert data.files.checked(tmp_path / "a", hashlib.sha256(b"content").hexdigest()) == b"content"


@pytest.mark.skipif(not data.FASHION_MNIST.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_has_its_official_sizes():
    fashion = data.load("fashion-mnist")
    assert fashion.train.input.shape == (60000, 1, 28, 28)
    assert np.bincount(fashion.train.label).tolist() == [6000] * 10
    assert np.bincount(fashion.test.label).tolist() == [1000] * 10
    assert fashion.train.class_names[fashion.train.label[0]] == "boot"


@pytest.mark.skipif("TITAND_DATA" not in os.environ, reason="TITAND_DATA names no folder with MotionSense")
def test_motionsense_has_six_activities_in_physical_units():
    motion = data.load("motionsense")
    assert motion.train.input.shape[1:] == (900,)
    assert len(motion.train) + len(motion.test) == 13952
    assert motion.train.class_names == ("downstairs", "upstairs", "walking", "jogging", "sitting", "standing")
    label = np.concatenate([motion.train.label, motion.test.label])
    assert np.bincount(label).tolist() == [1284, 1536, 3408, 1317, 3364, 3043]
    gravity = motion.test.input.reshape(-1, 100, 9)[:, :, :3]
    assert np.linalg.norm(gravity, axis=2).mean() == pytest.approx(1, abs=0.01)  # in g
