"""A model file is judged from what lies on the disk alone."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from titand.demo.judge import accuracy  # noqa: E402
from titand.learning.models.zoo import build  # noqa: E402
from titand.records import ModelSpec, TensorSpec, to_plain  # noqa: E402

SPEC = ModelSpec("mlp", TensorSpec("uint8", (4,)), ("a", "b", "c"), mean=(2.0,), std=(0.5,))


@pytest.fixture
def exported(tmp_path):
    model = build(SPEC, seed=1).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors.json").write_text(json.dumps({"model": to_plain(SPEC)}))
    return model, tmp_path / "model.safetensors"


def test_the_accuracy_is_the_share_that_the_model_names_after_normalisation(exported):
    model, path = exported
    value = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (700, 4)).astype(np.uint8))
    with torch.no_grad():
        answer = torch.stack([model((each.float()[None] - 2) / 0.5)[0].argmax() for each in value])
    assert accuracy(path, value, answer) == 1.0
    half = torch.where(torch.arange(700) < 350, answer, (answer + 1) % 3)
    assert accuracy(path, value, half) == 0.5


def test_it_answers_in_a_fresh_process(tmp_path, exported):
    model, path = exported
    value = np.random.default_rng(1).integers(0, 9, (50, 4)).astype(np.uint8)
    with torch.no_grad():
        label = model((torch.from_numpy(value).float() - 2) / 0.5).argmax(1).numpy()
    label[:3] = [0, 1, 2]  # all classes occur
    np.savez(tmp_path / "mine.npz", x=value, y=label)
    command = [sys.executable, "-m", "titand.demo.judge", path, "--data", tmp_path / "mine.npz"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert answer["sample_count"] == 10
    assert answer["accuracy"] >= 0.7
