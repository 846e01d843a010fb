"""The paper's six models at the sizes that the benchmarks use, and a stream that fits each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from titand.config import Config
from titand.config_text import config_from_json
from titand.records import ITEM_BYTES

IMAGE = {"data_type": "uint8", "shape": [3, 32, 32], "scale": 1 / 255}
TEN = [str(label) for label in range(10)]

MODELS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {
        "architecture": "mlp",
        "labels": list("abcdef"),
        "input": {"data_type": "float32", "shape": [900]},
    },
    "alexnet": {"architecture": "alexnet", "labels": TEN, "input": IMAGE},
    "mobilenet_v1": {"architecture": "mobilenet_v1", "labels": TEN, "input": IMAGE},
    "squeezenet": {"architecture": "squeezenet", "labels": TEN, "input": IMAGE},
    "resnet34": {
        "architecture": "resnet34",
        "labels": [str(label) for label in range(20)],
        "input": {"data_type": "float32", "shape": [1, 40, 98]},
    },
    "resnet50": {"architecture": "resnet50", "labels": TEN, "input": IMAGE},
}


def config_of(name: str, **sections: Mapping[str, Any]) -> Config:
    """Return the configuration of a model, a small learning rate, windows of 100, and what is given besides."""
    plain: dict[str, Any] = {
        "model": MODELS[name],
        "training": {"learning_rate": 0.005},
        "round": {"min_samples": 100},
        **sections,
    }
    return config_from_json(json.dumps(plain))


def random_samples(config: Config, count: int, seed: int) -> tuple[bytes, list[int]]:
    """Return raw samples and labels: their content does not matter to the time they take."""
    spec = config.model_spec.input
    generator = torch.Generator().manual_seed(seed)
    raw: Tensor = torch.randint(0, 256, (count * spec.size_bytes,), dtype=torch.uint8, generator=generator)
    if spec.data_type == "float32":
        raw = torch.randn(count * spec.item_count, generator=generator).view(torch.uint8)
    labels = torch.randint(0, config.model_spec.class_count, (count,), generator=generator).tolist()
    assert len(raw) == count * spec.item_count * ITEM_BYTES[spec.data_type]
    return raw.numpy().tobytes(), labels
