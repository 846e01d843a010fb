"""Every key with values that it may have; how they look in a file; what a refusal says."""

from __future__ import annotations

import dataclasses
import json
import typing

import pytest
from hypothesis import strategies as st

from titand.config import Config
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
    """Look up a dotted key."""
    for part in key.split("."):
        config = getattr(config, part)
    return config


def refusal(load, values, environment=None, minimal=True) -> ConfigError:
    """Return why these values are not taken; what to do about it is always said."""
    with pytest.raises(ConfigError) as caught:
        load(values, environment, minimal)
    assert caught.value.remedy
    return caught.value
