"""The configuration file of the demo's daemon, written as a person would write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titand.demo.data import Dataset

BATCH = 10
WINDOW = 100  # samples a round is chosen from, as in the paper
WAITING = 2  # windows that find room before the stream is held back
HELD_OUT = 200


def sections(dataset: Dataset, folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the demo sets; everything else keeps its default.

    The arena has room for little more than a window or two, so it is the daemon that paces the stream: the client
    blocks until the next round has taken its window.
    """
    value = dataset.train.input
    mean, std = dataset.moments()
    slots = HELD_OUT + WAITING * WINDOW + 4 * BATCH
    return {
        "model": {
            "architecture": "digits_cnn" if value.ndim == 4 else "mlp",
            "labels": list(dataset.train.class_names),
        },
        "model.input": {
            "data_type": value.dtype.name,
            "shape": list(value.shape[1:]),
            "mean": [mean],
            "std": [std or 1.0],
        },
        "training": {"batch_size": BATCH, "learning_rate": 0.03},  # 0.1 diverges in one run of ten
        "round": {"min_samples": WINDOW},
        "ingest": {"arena_bytes": slots * value[0].nbytes, "patience_seconds": 60.0},
        "evaluation": {"held_out_samples": HELD_OUT, "every_rounds": 20},
        "service": {"state_directory": str(folder / "state"), "runtime_directory": str(folder / "run")},
    }


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return sections of plain values as TOML.

    Example:
        >>> print(to_toml({"model.input": {"shape": [1, 8, 8], "data_type": "uint8"}}), end="")
        [model.input]
        shape = [1, 8, 8]
        data_type = "uint8"
    """
    lines = [
        [f"[{name}]", *(f"{key} = {_literal(value)}" for key, value in section.items()), ""]
        for name, section in sections.items()
    ]
    return "\n".join(line for section in lines for line in section)


def _literal(value: Any) -> str:
    """TOML writes strings, numbers and lists of them as JSON does, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
