"""The golden set: judged by the same test as held-out samples, and refused when it does not fit."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.workers.guarded import guard_of, model_of, promoted, spoil, teach
from tests.workers.pair import probabilities
from titand.config import GuardConfig
from titand.errors import ConfigError
from titand.learning.gate import Verdict
from titand.runtime.arena import HELD_OUT
from titand.workers.golden import load_golden


def golden(pair, path, **changes) -> None:
    generator = np.random.default_rng(3)
    label = generator.integers(3, size=80)
    x = (generator.normal(size=(80, 6)) + 3 * np.eye(3, 6)[label]).astype(np.float32)
    np.savez(path, **{"x": x, "label": label, **changes})


def golden_guard(pair, folder) -> Path:
    """Put the trainer under a guard that has a golden set; return where that is."""
    path = folder / "golden.npz"
    golden(pair, path)
    pair.config = dataclasses.replace(pair.config, guard=GuardConfig(golden_set=str(path)))
    pair.guard = guard_of(pair)
    return path


def test_a_golden_set_is_judged_by_the_same_test(home, tmp_path):
    path = golden_guard(home, tmp_path)
    teach(home, 30)
    best = model_of(home, home.trainer.state())
    promoted(home)
    teach(home, 10)
    gate = home.guard.look()
    with np.load(path) as held:
        x, label = torch.from_numpy(held["x"]), torch.from_numpy(held["label"])
    answers = probabilities(model_of(home, home.trainer.state()), x).argmax(1) == label
    theirs = probabilities(best, x).argmax(1) == label
    assert gate.golden.result.accuracy == float(answers.double().mean())
    assert gate.golden.pairs.difference == pytest.approx(float(answers.double().mean() - theirs.double().mean()))


def test_a_fall_on_the_golden_set_alone_fails(home, tmp_path):
    """The held-out samples have taken on the labels of the garbage; the golden set has not."""
    golden_guard(home, tmp_path)
    teach(home, 30)
    promoted(home)
    spoil(home)
    for slot in home.arena.slots_in(HELD_OUT):
        home.arena.label[slot] = (home.arena.label[slot] + 1) % 3
    gate = home.guard.look()
    assert gate.held_out.pairs.difference > 0.5
    assert gate.verdict is Verdict.FAILED
    assert "golden" in gate.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": np.zeros((80, 5), np.float32)}, "x is float32"),
        ({"x": np.zeros((80, 6), np.float64)}, "x is float64"),
        ({"x": np.zeros((0, 6), np.float32), "label": np.zeros(0, int)}, "empty"),
        ({"label": np.zeros(79, int)}, "80 class ids"),
        ({"label": np.zeros(80)}, "80 class ids"),
        ({"label": np.full(80, 3)}, "labels go from 3 to 3"),
        ({"label": np.full(80, -1)}, "labels go from -1"),
        ({"x": np.array([object()])}, "no .npz file"),
    ],
)
def test_a_golden_set_that_does_not_fit_is_refused_with_what_is_wrong(home, tmp_path, changes, words):
    golden(home, tmp_path / "golden.npz", **changes)
    with pytest.raises(ConfigError, match=words) as caught:
        load_golden(tmp_path / "golden.npz", home.spec)
    assert caught.value.reason == "GOLDEN_SET_INVALID"


@pytest.mark.parametrize(
    ("contents", "words"), [(None, "cannot be read"), (b"", "no .npz file"), (b"PK\x03\x04", "no .npz file")]
)
def test_a_golden_set_that_is_no_file_of_its_kind_is_refused(home, tmp_path, contents, words):
    if contents is not None:
        (tmp_path / "golden.npz").write_bytes(contents)
    with pytest.raises(ConfigError, match=words):
        load_golden(tmp_path / "golden.npz", home.spec)
    os.makedirs(tmp_path / "folder.npz")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_golden(tmp_path / "folder.npz", home.spec)


def test_arrays_under_other_names_are_refused_by_name(home, tmp_path):
    np.savez(tmp_path / "golden.npz", images=np.zeros(3))
    with pytest.raises(ConfigError, match="holds images"):
        load_golden(tmp_path / "golden.npz", home.spec)
