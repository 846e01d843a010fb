"""Configuration: every key checked, every mistake named, every value with its origin."""

from __future__ import annotations

import dataclasses
import json
import os
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.config import Config, reloadable_changes, with_changes
from titand.config_text import config_from_json, config_to_json, load_config
from titand.errors import ConfigError

MINIMAL = {"model.architecture": "mlp", "model.labels": ["a", "b"], "model.input.shape": [2, 3]}

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
positive = st.floats(1e-6, 1e6)
ratio = st.floats(0, 1)
count = st.integers(1, 10**6)
some = st.integers(0, 10**6)
floats = st.floats(-1e6, 1e6)

# What each key may be. The rule that candidates are no fewer than the batch is kept by the ranges.
VALID = {
    "model.architecture": text.filter(bool),
    "model.labels": st.lists(text, min_size=2, max_size=4, unique=True),
    "model.input.data_type": st.sampled_from(["uint8", "int16", "float16", "float32"]),
    "model.input.shape": st.lists(st.integers(1, 100), min_size=1, max_size=3),
    "model.input.scale": floats,
    "model.input.mean": st.lists(floats, max_size=1),
    "model.input.std": st.lists(positive, max_size=1),
    "model.options": st.dictionaries(st.sampled_from(["width", "depth"]), st.integers() | st.booleans()),
    "model.seed": some,
    "model.initial": text,
    "training.batch_size": st.integers(1, 30),
    "training.optimizer": st.sampled_from(["sgd", "adam", "adamw", "rmsprop"]),
    "training.learning_rate": positive,
    "training.momentum": ratio,
    "training.weight_decay": st.floats(0, 10),
    "training.schedule": st.sampled_from(["step", "constant", "cosine"]),
    "training.decay": positive,
    "training.decay_rounds": count,
    "training.average": st.floats(0, 0.9999),
    "training.replay_share": st.floats(0, 0.9),
    "training.replay_samples": count,
    "training.threads": st.integers(1, 8),
    "selection.policy": st.sampled_from(["cis", "uniform", "stratified", "is", "camel"]),
    "selection.candidates": st.integers(30, 1000),
    "selection.filter": st.sampled_from(["stratified", "predicted", "rep-div", "uniform"]),
    "selection.weight_exponent": ratio,
    "selection.full_contradiction": ratio,
    "selection.least_importance": st.floats(1e-9, 1),
    "selection.statistics_decay": ratio,
    "selection.horizon_rounds": some,
    "selection.rest_rounds": count,
    "selection.device": text,
    "selection.threads": st.integers(1, 8),
    "selection.micro_batch": count,
    "round.min_samples": some,
    "ingest.arena_bytes": count,
    "ingest.patience_seconds": st.floats(0, 100),
    "ingest.label_patience_seconds": st.floats(0, 10**6),
    "ingest.pending_bytes": st.integers(0, 1 << 30),
    "ingest.durable": st.booleans(),
    "ingest.log_bytes": st.integers(4 << 30, 8 << 30),
    "ingest.max_message_bytes": st.integers(8 << 20, 16 << 20),  # the default log holds four
    "ingest.max_streams": st.integers(1, 64),
    "evaluation.held_out_ratio": ratio,
    "evaluation.held_out_samples": st.integers(0, 100_000),
    "evaluation.held_out_rounds": count,
    "evaluation.every_rounds": count,
    "guard.every_rounds": some,
    "guard.margin": ratio,
    "guard.false_alarm_rate": st.floats(1e-9, 0.5),
    "guard.rollback_limit": some,
    "guard.rollback_rate_factor": st.floats(0.001, 1),
    "guard.golden_set": text,
    "storage.daily_bytes": count,
    "storage.checkpoint_seconds": positive,
    "storage.snapshot_rounds": some,
    "storage.keep_snapshots": count,
    "telemetry.interval_seconds": positive,
    "telemetry.jtop": st.sampled_from(["auto", "off"]),
    "service.state_directory": text,
    "service.runtime_directory": text,
    "service.stop_seconds": positive,
    "service.hang_seconds": st.floats(2.0, 1e6),
    "service.restart_seconds": positive,
    "service.log_level": st.sampled_from(["debug", "info", "warning", "error"]),
}


def entries(kind=Config, prefix=""):
    """Every key with its field."""
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[entry.name]):
            yield from entries(hints[entry.name], f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}", entry


KEYS = dict(entries())
settings_of = st.fixed_dictionaries(
    {key: VALID[key] for key in MINIMAL}, optional={key: VALID[key] for key in VALID if key not in MINIMAL}
)


def to_toml(values) -> str:
    """Dotted keys, JSON values: both are TOML too."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{key}.{name} = {json.dumps(item)}" for name, item in value.items()]
        else:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines)


def value_of(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Load a configuration from a file with these values, and an environment."""
    path = tmp_path_factory.mktemp("config") / "titand.toml"

    def load(values, environment=None, minimal=True):
        path.write_text(to_toml({**MINIMAL, **values} if minimal else values), encoding="utf-8")
        return load_config(path, environment or {})

    load.path = path
    return load


def refusal(load, values, environment=None, minimal=True) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(values, environment, minimal)
    assert caught.value.remedy
    return caught.value


def test_every_key_is_explained_and_its_default_is_in_range():
    for key, entry in KEYS.items():
        assert entry.metadata["help"].strip(), key
        assert not entry.metadata["help"].endswith("."), key
        default = entry.default if entry.default is not dataclasses.MISSING else entry.default_factory()
        check = entry.metadata["check"]
        assert check is None or check[0](default), key


def test_every_key_has_a_row_in_this_test():
    assert set(VALID) == set(KEYS)


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
    config, origin = load({}, {"TITAND_ADDRESS": "unix:/x", "TITAND_CONFIG": "y", "TITANDX": "1", "PATH": "/bin"})
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


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training.batch_size", 0, "above 0"),
        ("training.momentum", 1.5, "between 0 and 1"),
        ("training.weight_decay", -0.1, "0 or more"),
        ("training.optimizer", "sgdd", "'sgd'"),
        ("model.input.shape", [3, 0], "all above 0"),
        ("model.input.data_type", "int64", "'uint8'"),
        ("evaluation.held_out_ratio", -1, "between 0 and 1"),
        ("service.log_level", "loud", "'debug'"),
        ("model.input.std", [0.0], "all above 0"),
        ("selection.candidates", 10**9, "between 1 and 10000"),
        ("evaluation.held_out_samples", 10**8, "between 0 and 100000"),
        ("ingest.max_streams", 65, "between 1 and 64"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_range(load, key, value, expected):
    error = refusal(load, {key: value})
    assert error.reason == "CONFIG_RANGE"
    assert str(error).startswith(f"{key}: expected ")
    assert expected in str(error)
    assert error.metadata == {"key": key}


@pytest.mark.parametrize("value", ["nan", "-nan"])
def test_no_range_admits_what_is_not_a_number(load, value):
    for key, entry in KEYS.items():
        if isinstance(entry.default, float) and entry.metadata["check"] is not None:
            variable = f"TITAND_{key.upper().replace('.', '__')}"
            assert refusal(load, {}, {variable: value}).reason == "CONFIG_RANGE", key


@pytest.mark.parametrize("key", list(MINIMAL))
def test_what_has_no_default_must_be_said(load, key):
    values = {name: value for name, value in MINIMAL.items() if name != key}
    error = refusal(load, values, minimal=False)
    assert (error.reason, error.metadata) == ("CONFIG_MISSING", {"key": key})


def test_fewer_candidates_than_a_batch_takes_is_refused(load):
    error = refusal(load, {"selection.candidates": 5, "training.batch_size": 6})
    assert (error.reason, error.metadata) == ("CONFIG_RANGE", {"key": "selection.candidates"})
    load({"selection.candidates": 6, "training.batch_size": 6})


@pytest.mark.parametrize("labels", [["one"], ["a", "b", "a"]])
def test_labels_are_two_or_more_that_differ(load, labels):
    error = refusal(load, {"model.labels": labels})
    assert (error.reason, error.metadata) == ("CONFIG_RANGE", {"key": "model.labels"})


def test_a_message_must_hold_a_sample(load):
    shape = {"model.input.shape": [3, 2000, 2000]}
    error = refusal(load, shape)
    assert (error.reason, error.metadata) == ("CONFIG_RANGE", {"key": "ingest.max_message_bytes"})
    load({**shape, "ingest.max_message_bytes": 12_000_000 + 1024})


def test_a_log_of_samples_holds_some_messages(load):
    sizes = {"ingest.max_message_bytes": 1 << 20, "ingest.log_bytes": 4 << 20}
    load({**sizes, "ingest.durable": True})
    sizes["ingest.log_bytes"] -= 1
    load(sizes)
    error = refusal(load, {**sizes, "ingest.durable": True})
    assert (error.reason, error.metadata) == ("CONFIG_RANGE", {"key": "ingest.log_bytes"})


@pytest.mark.parametrize("name", ["mean", "std"])
def test_normalisation_is_per_channel_or_for_all(load, name):
    for values in ([], [1.0], [1.0, 2.0]):
        load({f"model.input.{name}": values})
    error = refusal(load, {f"model.input.{name}": [1.0, 2.0, 3.0]})
    assert f"model.input.{name}: 3 values for 2 channels" in str(error)


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


@given(before=settings_of, after=settings_of)
def test_a_reload_takes_over_what_may_change_and_names_the_rest(load, before, after):
    old, new = load(before)[0], load(after)[0]
    now, later = reloadable_changes(old, new)
    changed = {key for key in KEYS if value_of(old, key) != value_of(new, key)}
    reloads = {key for key in changed if KEYS[key].metadata["reloads"]}
    assert set(now) == reloads
    assert {key for key in changed - reloads if not key.startswith("model.input.")} <= set(later)
    assert all(any(key == name or key.startswith(f"{name}.") for name in later) for key in changed - reloads)
    merged = with_changes(old, now)
    for key in KEYS:
        assert value_of(merged, key) == value_of(new if key in reloads else old, key)


def test_what_is_configured_cannot_be_changed_by_accident(load):
    config, _ = load({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.training.batch_size = 5


def test_a_window_holds_a_batch_unless_said_otherwise(load):
    assert load({"training.batch_size": 7})[0].round_samples == 7
    assert load({"training.batch_size": 7, "round.min_samples": 100})[0].round_samples == 100


def test_the_models_description_is_what_was_configured(load):
    config, _ = load({"model.input.scale": 0.5, "model.input.mean": [1.0], "model.options": {"hidden": 3}})
    spec = config.model_spec
    assert (spec.architecture, spec.labels, spec.class_count) == ("mlp", ("a", "b"), 2)
    assert (spec.input.data_type, spec.input.shape, spec.input.size_bytes) == ("uint8", (2, 3), 6)
    assert (spec.scale, spec.mean, spec.std, spec.options) == (0.5, (1.0,), (), {"hidden": 3})


def test_the_environment_of_this_machine_is_not_looked_at(load):
    os.environ["TITAND_TRAINING__BATCH_SIZE"] = "3"
    try:
        assert load({})[0].training.batch_size == 10
    finally:
        del os.environ["TITAND_TRAINING__BATCH_SIZE"]
