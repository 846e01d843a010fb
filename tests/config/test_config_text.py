"""A file and variables: every mistake named, every value with its origin."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given

from tests.config.settings import MINIMAL, refusal, settings_of, value_of
from titand.config_text import config_from_json, config_to_json, load_config
from titand.errors import ConfigError


@given(settings=settings_of)
def test_what_the_file_says_is_what_is_configured(load, settings):
    config, origin = load(settings)
    for key, value in settings.items():
        expected = tuple(value) if isinstance(value, list) else value
        assert value_of(config, key) == expected, key
    given_keys = {key for key in settings if key != "model.options"} | set(MINIMAL)
    assert {key for key in origin if not key.startswith("model.options")} == given_keys
    assert set(origin.values()) == {str(load.path)}


@given(settings=settings_of)
def test_a_configuration_survives_the_way_to_another_process(load, settings):
    config, _ = load(settings)
    assert config_from_json(config_to_json(config)) == config


@given(settings=settings_of)
def test_variables_say_the_same_as_a_file(load, settings):
    from_file, _ = load(settings)
    environment = {
        f"TITAND_{key.upper().replace('.', '__')}": json.dumps(value, ensure_ascii=False)
        for key, value in settings.items()
        if not isinstance(value, dict)
    }
    environment |= {
        f"TITAND_MODEL__OPTIONS__{k.upper()}": json.dumps(v) for k, v in settings.get("model.options", {}).items()
    }
    from_variables, origin = load_config(None, environment)
    assert from_variables == from_file
    assert set(origin.values()) == set(environment)


def test_a_variable_wins_over_the_file_and_is_named_as_the_origin(load):
    config, origin = load({"training.learning_rate": 0.5}, {"TITAND_TRAINING__LEARNING_RATE": "0.25"})
    assert config.training.learning_rate == 0.25
    assert origin["training.learning_rate"] == "TITAND_TRAINING__LEARNING_RATE"
    assert origin["model.labels"] == str(load.path)


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("TITAND_SELECTION__DEVICE", "cuda", "selection.device", "cuda"),
        ("TITAND_SELECTION__DEVICE", '"cuda"', "selection.device", "cuda"),
        ("TITAND_SERVICE__STATE_DIRECTORY", "/var/lib/x", "service.state_directory", "/var/lib/x"),
        ("TITAND_MODEL__INPUT__SHAPE", "[3, 32, 32]", "model.input.shape", (3, 32, 32)),
        ("TITAND_TRAINING__DECAY", "1", "training.decay", 1.0),
        ("TITAND_MODEL__INITIAL", "", "model.initial", ""),
    ],
)
def test_a_variable_is_read_as_toml_and_a_bare_word_as_a_string(load, variable, text, key, value):
    assert value_of(load({}, {variable: text})[0], key) == value


def test_variables_of_others_are_left_alone(load):
    config, origin = load(
        {}, {"TITAND_ADDRESS": "unix:/x", "TITAND_CONFIG": "y", "TITAND_DATA": "/d", "TITANDX": "1", "PATH": "/bin"}
    )
    assert config == load({})[0]
    assert set(origin) == set(MINIMAL)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("selection.candidate", "selection.candidates"),
        ("training.learningrate", "training.learning_rate"),
        ("model.input.shap", "model.input.shape"),
        ("trainings.batch_size", "training"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(load, key, nearest):
    error = refusal(load, {key: 1})
    assert error.reason == "UNKNOWN_KEY"
    assert error.metadata["key"] == (key if key.split(".")[0] in ("selection", "training", "model") else "trainings")
    assert f"Did you mean {nearest}?" in str(error)


def test_an_unknown_key_like_none_gets_the_list_of_known_ones(load):
    error = refusal(load, {"round.xyzzy": 1})
    assert "Known here: min_samples." in str(error)


def test_an_unknown_variable_is_an_error_like_an_unknown_key(load):
    assert refusal(load, {}, {"TITAND_TRAINING__LEARNINGRATE": "1"}).metadata["key"] == "training.learningrate"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training.batch_size", 2.5, "an integer"),
        ("training.batch_size", "ten", "an integer"),
        ("training.batch_size", True, "an integer"),
        ("training.learning_rate", "fast", "a number"),
        ("training.learning_rate", False, "a number"),
        ("training.optimizer", 1, "a string"),
        ("model.labels", "abc", "a list"),
        ("model.labels", [1, 2], "a string"),
        ("model.input.shape", [1.5], "an integer"),
        ("model.options", [1], "a table"),
        ("training", 5, "a table"),
        ("model.input", "8x8", "a table"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_was_expected(load, key, value, expected):
    values = {name: other for name, other in MINIMAL.items() if not name.startswith(key)}
    error = refusal(load, {**values, key: value}, minimal=False)
    assert error.reason == "CONFIG_TYPE"
    assert f"{key}: expected {expected}, found" in str(error)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml") as caught:
        load_config(tmp_path / "nowhere.toml", {})
    assert caught.value.reason == "CONFIG_UNREADABLE"


@pytest.mark.parametrize("content", [b"[model\n", b"a = \n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    path = tmp_path / "titand.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)) as caught:
        load_config(path, {})
    assert caught.value.reason == "CONFIG_SYNTAX"


def test_a_variable_inside_what_is_no_table_is_an_error_and_no_accident(load):
    error = refusal(load, {"training": 5}, {"TITAND_TRAINING__LEARNING_RATE": "1"})
    assert error.reason == "CONFIG_TYPE"
    assert "training" in str(error)


def test_the_environment_of_this_machine_is_not_looked_at(load):
    os.environ["TITAND_TRAINING__BATCH_SIZE"] = "3"
    try:
        assert load({})[0].training.batch_size == 10
    finally:
        del os.environ["TITAND_TRAINING__BATCH_SIZE"]
