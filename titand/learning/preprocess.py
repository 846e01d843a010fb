"""From values as they were pushed to what a model takes: (raw * scale - mean) / std, in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from titand.errors import ModelError
from titand.records import ModelSpec


class Preprocess(nn.Module):
    """Normalise raw input, on the device that the raw input is on.

    Computed as raw * factor - shift with factor = scale / std and shift = mean / std, each per leading channel or one
    for all. Its two tensors are constants of the model's description, not parameters: they are in no state and no
    snapshot.

    Args:
        spec: its scale, mean and std are used, and the input's shape.

    Raises:
        ModelError: mean or std has neither one entry nor one per leading channel, or std has a zero.

    >>> from titand.records import TensorSpec
    >>> spec = ModelSpec("mlp", TensorSpec("uint8", (2,)), ("a", "b"), scale=1 / 255, mean=(0.5,), std=(0.5,))
    >>> Preprocess(spec)(torch.tensor([[0, 255]], dtype=torch.uint8))
    tensor([[-1.,  1.]])
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        mean = _per_channel("mean", spec.mean or (0.0,), spec)
        std = _per_channel("std", spec.std or (1.0,), spec)
        if not math.isfinite(spec.scale) or not bool(torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise ModelError("MODEL_NORMALISATION_INVALID", "scale, mean and std must be finite numbers.")
        if bool((std == 0).any()):
            raise ModelError(
                "MODEL_NORMALISATION_INVALID", "std has a zero.", "Leave std out, or use 1 for a constant channel."
            )
        self.register_buffer("factor", (spec.scale / std).float(), persistent=False)
        self.register_buffer("shift", (mean / std).float(), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """Map raw values [N, *shape] of any pushed type to float32 [N, *shape]; the raw values stay as they are."""
        return raw.to(torch.float32) * self.factor - self.shift


def _per_channel(name: str, value: tuple[float, ...], spec: ModelSpec) -> Tensor:
    shape = spec.input.shape
    if len(value) not in (1, shape[0]):
        raise ModelError(
            "MODEL_NORMALISATION_INVALID",
            f"{name} has {len(value)} entries, the input has {shape[0]} channels.",
            f"Give one {name} for all channels or one for each.",
        )
    return torch.tensor(value, dtype=torch.float64).reshape(-1, *[1] * (len(shape) - 1))
