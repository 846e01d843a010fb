import dataclasses
import re
from pathlib import Path

from titand.config import Config
from titand.config_text import config_to_json, load_config

EXAMPLE = Path(__file__).parents[2] / "deploy/systemd/titand.toml"
DEFAULT = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)


def unit(name):
    """A setting of the unit, in seconds."""
    return float(re.search(rf"^{name}=([0-9]+)s$", (EXAMPLE.parent / "titand.service").read_text(), re.MULTILINE)[1])


def keys(kind, prefix=""):
    """Every key of the configuration, with the mark of those that may change while running."""
    for entry in dataclasses.fields(kind):
        if "help" in entry.metadata:
            yield f"{prefix}{entry.name}", entry.metadata["reloads"]
        else:
            yield from keys(entry.default_factory, f"{prefix}{entry.name}.")


def test_the_example_is_right_as_it_is():
    config, origin = load_config(EXAMPLE, {})
    assert config.model_spec.input.size_bytes == 3 * 32 * 32
    assert all(key.startswith("model.") for key in origin)


def test_the_example_names_every_key_and_its_default(tmp_path):
    whole = tmp_path / "titand.toml"
    whole.write_text(DEFAULT.sub("", EXAMPLE.read_text()))

    spelled_out, origin = load_config(whole, {})

    assert set(origin) - {"model.options.width"} == {key for key, _ in keys(Config)} - {"model.options"}
    assert config_to_json(spelled_out) == config_to_json(load_config(EXAMPLE, {})[0])


def test_the_example_says_which_keys_a_reload_changes():
    section, marked = "", set()
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.endswith("(reload)"):
            marked.add(f"{section}.{DEFAULT.sub('', line).split()[0]}")
    assert marked == {key for key, reloads in keys(Config) if reloads}


def test_systemd_is_more_patient_than_the_daemon():
    service = Config().service
    assert unit("WatchdogSec") > service.hang_seconds
    assert unit("TimeoutStopSec") > service.stop_seconds
    # A stop that fails must not end in the watchdog, which is not fed any more.
    assert unit("WatchdogSec") > service.stop_seconds
