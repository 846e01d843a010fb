"""Configuration as text: one TOML file, TITAND_* variables over it, each value with its origin; JSON between processes.

`TITAND_TRAINING__LEARNING_RATE=0.05` sets `training.learning_rate`. A key that nobody knows is an error that names the
nearest known one; a value of the wrong type or outside its range is an error that names the key, what was expected and
what was found. Nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titand.config import Check, Config
from titand.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OTHERS = (
    "TITAND_ADDRESS",
    "TITAND_CONFIG",
    "TITAND_DATA",
)  # variables that are no keys: the client's, ours, the demo's
MOST_CLASSES = 1 << 16  # of which a report can tell a value each
_MESSAGE_OVERHEAD = 1024  # bytes of everything in a message but the samples, at most
_LOG_MESSAGES = 4  # that the log of samples must hold at least: half of it is to be free when a checkpoint begins


def load_config(path: Path | None, environment: Mapping[str, str]) -> tuple[Config, dict[str, str]]:
    """Read the configuration.

    Args:
        path: TOML file; None for defaults and variables only.
        environment: where TITAND_* variables are looked up.

    Returns:
        The configuration, and where each key that is not a default was set.

    Raises:
        ConfigError: with the key, what was expected, and what was found.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                "CONFIG_UNREADABLE", f"Cannot read {path}: {error.strerror}.", "Name the file with --config."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("CONFIG_SYNTAX", f"{path} is not TOML: {error}.", "Mend that line.") from error
        for key in _keys(values):
            origin[key] = str(path)
    for name, text in sorted(environment.items()):
        if name.startswith("TITAND_") and name not in OTHERS:
            key = name[len("TITAND_") :].lower().replace("__", ".")
            _place(values, key, text)
            origin[key] = name
    config = _build(Config, values, "")
    _check_whole(config)
    return config, origin


def config_to_json(config: Config) -> str:
    """Return the configuration as text for another process."""
    return json.dumps(dataclasses.asdict(config))


def config_from_json(text: str) -> Config:
    """Return the configuration that `config_to_json` wrote."""
    config: Config = _build(Config, json.loads(text), "")
    return config


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        found += _keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


def _place(values: dict[str, Any], key: str, text: str) -> None:
    *sections, name = key.split(".")
    for depth, section in enumerate(sections, 1):
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise _no_table(".".join(sections[:depth]), values)
    try:
        values[name] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[name] = text  # a bare word is a string


def _no_table(key: str, value: Any) -> ConfigError:
    return ConfigError("CONFIG_TYPE", f"{key}: expected a table, found {value!r}.", "See the example file.")


def _build(kind: Any, values: Any, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise _no_table(prefix.rstrip("."), values)
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, value in values.items():
        key = prefix + name
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            remedy = f"Did you mean {prefix}{near[0]}?" if near else f"Known here: {', '.join(fields)}."
            raise ConfigError("UNKNOWN_KEY", f"Unknown configuration key {key}.", remedy, {"key": key})
        if dataclasses.is_dataclass(hints[name]):
            given[name] = _build(hints[name], value, key + ".")
        else:
            given[name] = _convert(hints[name], value, key)
            _check(fields[name].metadata.get("check"), given[name], key)
    return kind(**given)


def _convert(hint: Any, value: Any, key: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_convert(typing.get_args(hint)[0], item, key) for item in value)
        wanted = "a list"
    elif typing.get_origin(hint) is dict:
        if isinstance(value, dict):
            return value
        wanted = "a table"
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    else:
        wanted = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}.get(hint, str(hint))
    raise ConfigError("CONFIG_TYPE", f"{key}: expected {wanted}, found {value!r}.", "Mend that line.", {"key": key})


def _check(check: Check | None, value: Any, key: str) -> None:
    if check is not None and not check[0](value):
        raise _range_error(key, f"expected {check[1]}, found {value!r}", "Mend that line.")


def _check_whole(config: Config) -> None:
    for key, value in (
        ("model.architecture", config.model.architecture),
        ("model.labels", config.model.labels),
        ("model.input.shape", config.model.input.shape),
    ):
        if not value:
            raise ConfigError(
                "CONFIG_MISSING", f"{key} is not set.", "It has no default: say what is trained.", {"key": key}
            )
    size, candidates = config.training.batch_size, config.selection.candidates
    if candidates < size:
        remedy = "A batch is chosen among the candidates: keep at least as many; three times as many is the default."
        raise _range_error("selection.candidates", f"{candidates} is below training.batch_size ({size})", remedy)
    labels = config.model.labels
    if len(set(labels)) < max(2, len(labels)):
        raise _range_error(
            "model.labels", f"expected two or more that differ, found {list(labels)!r}", "Mend that line."
        )
    if len(labels) > MOST_CLASSES:
        remedy = "Group them: a report has room for a value of each of so many."
        raise _range_error("model.labels", f"{len(labels):,} are more than {MOST_CLASSES:,}", remedy)
    sample, message = config.model_spec.input.size_bytes, config.ingest.max_message_bytes
    if message < sample + _MESSAGE_OVERHEAD:
        remedy = f"Set it to {sample + _MESSAGE_OVERHEAD} or more; ten samples or more are better."
        raise _range_error("ingest.max_message_bytes", f"{message} holds no sample of {sample} bytes", remedy)
    if config.ingest.durable and config.ingest.log_bytes < _LOG_MESSAGES * message:
        remedy = f"A log holds {_LOG_MESSAGES} of the largest messages: set it to {_LOG_MESSAGES * message} or more."
        found = f"{config.ingest.log_bytes} is too little for ingest.max_message_bytes ({message})"
        raise _range_error("ingest.log_bytes", found, remedy)
    channels = config.model.input.shape[0]
    for name, values in (("mean", config.model.input.mean), ("std", config.model.input.std)):
        if len(values) not in (0, 1, channels):
            remedy = "Give one per leading channel, one for all, or none."
            raise _range_error(f"model.input.{name}", f"{len(values)} values for {channels} channels", remedy)


def _range_error(key: str, found: str, remedy: str) -> ConfigError:
    return ConfigError("CONFIG_RANGE", f"{key}: {found}.", remedy, {"key": key})
