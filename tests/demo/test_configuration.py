"""The demo's configuration is one that the daemon takes, and means what the data set is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.config_text import load_config, tomllib
from titand.demo import data
from titand.demo.configuration import sections, to_toml
from titand.demo.data import Dataset
from titand.demo.files import Samples


def configured(dataset, tmp_path):
    (tmp_path / "titand.toml").write_text(to_toml(sections(dataset, tmp_path)), encoding="utf-8")
    config, _ = load_config(tmp_path / "titand.toml", {})
    return config


def test_the_daemon_accepts_it_and_sees_the_digits(tmp_path):
    digits = data.digits()
    config = configured(digits, tmp_path)
    assert config.model_spec.input.shape == digits.train.input.shape[1:]
    assert config.model_spec.labels == tuple("0123456789")
    assert config.service.runtime_directory == str(tmp_path / "run")


def test_inputs_reach_the_model_with_mean_0_and_deviation_1(tmp_path):
    digits = data.digits()
    spec = configured(digits, tmp_path).model_spec
    normal = (digits.train.input * spec.scale - spec.mean[0]) / spec.std[0]
    assert normal.mean() == pytest.approx(0, abs=1e-9)
    assert normal.std() == pytest.approx(1)


def test_constant_inputs_are_not_divided_by_zero(tmp_path):
    same = Samples(np.full((4, 3), 7, np.uint8), np.array([0, 1, 0, 1]), ("a", "b"))
    assert configured(Dataset("same", same, same, "none", 0.5), tmp_path).model.input.std == (1.0,)


def test_the_arena_has_room_for_more_than_a_window_and_all_that_is_held_out(tmp_path):
    config = configured(data.digits(), tmp_path)
    slots = config.ingest.arena_bytes // math.prod(config.model.input.shape)
    assert slots >= config.round_samples + config.evaluation.held_out_samples + 2 * config.training.batch_size


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.text() | st.integers() | st.lists(st.text())))
def test_any_plain_values_come_back_from_toml(section):
    section = {
        key: value
        for key, value in section.items()
        # TOML has 64-bit integers and no lone surrogates, as no file in UTF-8 has.
        if not isinstance(value, int) or -(2**63) <= value < 2**63
    }
    assert tomllib.loads(to_toml({"a.b": section})) == {"a": {"b": section}}
