"""Judge an exported model file in a process of its own: python -m titand.demo.judge MODEL --data digits.

Nothing is taken from the daemon that trained it: the file, the description beside it, and samples it never saw.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from titand.demo import data
from titand.learning.models.zoo import build
from titand.learning.preprocess import Preprocess
from titand.records import model_spec_from_plain


@torch.no_grad()
def accuracy(model_path: Path, input: Tensor, label: Tensor) -> float:
    """Return the share of samples that an exported model names correctly.

    Args:
        model_path: a safetensors file; its description is the same name followed by ".json".
        input: [N, ...] as it would be pushed.
        label: [N] int64.
    """
    spec = model_spec_from_plain(json.loads(Path(f"{model_path}.json").read_text())["model"])
    model = build(spec, seed=0).eval()
    model.load_state_dict(load_file(model_path))
    preprocess = Preprocess(spec)
    named = torch.cat([model(preprocess(input[start : start + 256])).argmax(1) for start in range(0, len(input), 256)])
    return float((named == label).double().mean())


def main() -> None:
    """Print the accuracy as JSON."""
    parser = argparse.ArgumentParser(prog="python -m titand.demo.judge", description="Judge an exported model.")
    parser.add_argument("model", type=Path, help="the safetensors file; its description is MODEL.json")
    parser.add_argument("--data", default="digits", help="as in titand demo")
    arguments = parser.parse_args()
    test = data.load(arguments.data).test
    input, label = torch.from_numpy(test.input), torch.from_numpy(test.label)
    print(json.dumps({"accuracy": accuracy(arguments.model, input, label), "sample_count": len(test)}))


if __name__ == "__main__":
    main()
