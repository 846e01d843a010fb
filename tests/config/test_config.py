"""Every key is checked, alone and with the others; what a reload may change."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given

from tests.config.settings import KEYS, MINIMAL, VALID, refusal, settings_of, value_of
from titand.clock import SystemClock
from titand.config import reloadable_changes, with_changes
from titand.config_text import MOST_CLASSES
from titand.runtime.boards import Boards, create_boards


def test_every_key_is_explained_and_its_default_is_in_range():
    for key, entry in KEYS.items():
        assert entry.metadata["help"].strip(), key
        assert not entry.metadata["help"].endswith("."), key
        default = entry.default if entry.default is not dataclasses.MISSING else entry.default_factory()
        check = entry.metadata["check"]
        assert check is None or check[0](default), key


def test_every_key_has_a_row_in_this_test():
    assert set(VALID) == set(KEYS)


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


def test_no_more_classes_are_taken_than_a_report_has_room_for(load):
    labels = [str(each) for each in range(MOST_CLASSES + 1)]
    error = refusal(load, {"model.labels": labels})
    assert (error.reason, error.metadata) == ("CONFIG_RANGE", {"key": "model.labels"})
    load({"model.labels": labels[:-1]})
    boards = Boards(create_boards(), SystemClock())
    longest = {"accuracies": [-math.pi * 1e-300] * MOST_CLASSES}
    boards.write("selector", longest)
    assert boards.read("selector").content == longest


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
