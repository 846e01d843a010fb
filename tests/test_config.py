"""The configuration: what is set, where it was set, and what a wrong line is answered with."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.config import (
    Config,
    config_from_json,
    config_to_json,
    load_config,
    reloadable_changes,
    with_changes,
)
from titand.errors import ConfigError

FILE = """
[model]
architecture = "mlp"
labels = ["sit", "walk"]
[model.input]
data_type = "float32"
shape = [900]
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "titand.toml"
    file.write_text(FILE)
    return file


def refused(tmp_path, text: str, environment=None) -> ConfigError:
    file = tmp_path / "wrong.toml"
    file.write_text(FILE + text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environment or {})
    return caught.value


def test_each_value_that_is_set_has_its_origin(path):
    config, origin = load_config(path, {"TITAND_TRAINING__LEARNING_RATE": "0.5", "HOME": "/"})

    assert config.training.learning_rate == 0.5
    assert origin["training.learning_rate"] == "TITAND_TRAINING__LEARNING_RATE"
    assert origin["model.input.shape"] == str(path)
    assert set(origin) == {
        "model.architecture", "model.labels", "model.input.data_type", "model.input.shape", "training.learning_rate",
    }  # fmt: skip


def test_a_variable_wins_over_the_file(path):
    assert load_config(path, {"TITAND_MODEL__ARCHITECTURE": "alexnet"})[0].model.architecture == "alexnet"


def test_a_variable_may_hold_a_list(path):
    config, _ = load_config(path, {"TITAND_MODEL__LABELS": '["a", "b", "c"]'})

    assert config.model_spec.class_count == 3


def test_variables_of_the_client_are_not_keys(path):
    load_config(path, {"TITAND_ADDRESS": "unix:/x", "TITAND_CONFIG": "/y"})


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[training]\nlearnig_rate = 1.0", "training.learnig_rate", "training.learning_rate"),
        ("[trainig]\nmomentum = 0.5", "trainig", "training"),
        ("[selection]\ncandidate = 9", "selection.candidate", "selection.candidates"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path, text, key, nearest):
    error = refused(tmp_path, text)

    assert (error.reason, error.metadata["key"]) == ("UNKNOWN_KEY", key)
    assert nearest in error.remedy


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("[training]\nbatch_size = 2.5", "CONFIG_TYPE", "an integer"),
        ("[training]\nbatch_size = true", "CONFIG_TYPE", "an integer"),
        ("[training]\nbatch_size = 0", "CONFIG_RANGE", "above 0"),
        ('[training]\nlearning_rate = "fast"', "CONFIG_TYPE", "a number"),
        ("[training]\nlearning_rate = -1", "CONFIG_RANGE", "above 0"),
        ("[training]\nlearning_rate = nan", "CONFIG_RANGE", "above 0"),
        ("[training]\nlearning_rate = inf", "CONFIG_RANGE", "above 0"),
        ('[selection]\npolicy = "best"', "CONFIG_RANGE", "'cis'"),
        ("training = 3", "CONFIG_TYPE", "a table"),
        ("[evaluation]\nheld_out_ratio = 1.5", "CONFIG_RANGE", "between 0 and 1"),
        ("[selection]\ncandidates = 5", "CONFIG_RANGE", "training.batch_size"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path, text, reason, words):
    if text.startswith("training"):
        file = tmp_path / "wrong.toml"
        file.write_text(text + FILE)
        with pytest.raises(ConfigError) as caught:
            load_config(file, {})
        error = caught.value
    else:
        error = refused(tmp_path, text)

    assert error.reason == reason
    assert words in str(error)


def test_a_mean_for_the_wrong_number_of_channels_is_refused(tmp_path):
    error = refused(tmp_path, "mean = [0.1, 0.2]")

    assert error.metadata["key"] == "model.input.mean"


@pytest.mark.parametrize("key", ["model.architecture", "model.labels", "model.input.shape"])
def test_what_is_trained_has_no_default(tmp_path, key):
    file = tmp_path / "empty.toml"
    lines = [line for line in FILE.splitlines() if not line.startswith(key.rsplit(".", 1)[1])]
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})

    assert (caught.value.reason, caught.value.metadata["key"]) == ("CONFIG_MISSING", key)


def test_a_file_that_is_not_there_and_one_that_is_not_toml_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match="No such file") as missing:
        load_config(tmp_path / "none.toml", {})
    (tmp_path / "bad.toml").write_text("[model\n")
    with pytest.raises(ConfigError, match="not TOML") as broken:
        load_config(tmp_path / "bad.toml", {})

    assert (missing.value.reason, broken.value.reason) == ("CONFIG_UNREADABLE", "CONFIG_SYNTAX")


def test_every_key_has_help():
    for section in dataclasses.fields(Config):
        for entry in dataclasses.fields(section.default_factory):
            assert dataclasses.is_dataclass(entry.default_factory) or entry.metadata["help"], entry.name


@given(st.floats(1e-6, 10), st.integers(1, 30), st.lists(st.text(min_size=1), min_size=1, max_size=5), st.booleans())
def test_a_configuration_survives_the_way_to_another_process(rate, batch, labels, paused):
    plain = {
        "model": {"architecture": "mlp", "labels": labels, "options": {"width": 0.25, "flag": paused}},
        "training": {"learning_rate": rate, "batch_size": batch},
    }
    config = config_from_json(json.dumps(plain))

    assert config_from_json(config_to_json(config)) == config
    assert config.model_spec.labels == tuple(labels)


def test_only_what_may_change_while_running_is_taken_over(path):
    old, _ = load_config(path, {})
    new = with_changes(old, {"selection.candidates": 50, "training.learning_rate": 0.3, "round.min_samples": 7})

    now, later = reloadable_changes(old, new)

    assert now == {"selection.candidates": 50, "round.min_samples": 7}
    assert later == ["training.learning_rate"]
    assert with_changes(old, now).round_samples == 7


def test_a_window_needs_a_batch_of_arrivals_unless_said_otherwise(path):
    config, _ = load_config(path, {})

    assert config.round_samples == config.training.batch_size
