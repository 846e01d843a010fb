"""Layers that several models share, and the checks of what they are given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from titand.errors import ModelError
from titand.learning.models.split import Shape

NORMS = ("batch", "group", "none")


def norm_layer(kind: str, channels: int) -> nn.Module:
    """Return the normalisation of a feature map: "batch", "group" (eight groups) or "none".

    >>> norm_layer("group", 64).num_groups
    8
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    if kind == "none":
        return nn.Identity()
    raise ModelError("MODEL_OPTION_INVALID", f"option norm: {kind!r} is none of {', '.join(NORMS)}.")


def conv(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, norm: str = "batch"
) -> nn.Sequential:
    """Return convolution, normalisation, ReLU; the side shrinks by the stride alone, rounded up."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=norm == "none"),
        norm_layer(norm, out_channels),
        nn.ReLU(),
    )


class ChannelsLast(nn.Module):
    """Lay a feature map out position by position, for the CPU; values and shape stay.

    At the start of `rest` in models of many thin layers: oneDNN then trains MobileNetV1 in half the time and
    scores SqueezeNet in two thirds. AlexNet and ResNet34 gain nothing. The filter, which ends before it, does not pay.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, H, W] with the channels adjacent in memory."""
        return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def require_image(architecture: str, shape: Shape) -> Shape:
    """Return [channels, height, width], or say that this architecture needs them."""
    if len(shape) != 3:
        raise ModelError(
            "MODEL_INPUT_UNSUITABLE",
            f"{architecture} takes channels x height x width, the input is {'x'.join(map(str, shape))}.",
            "Declare the input with three dimensions (1x40x98 for one spectrogram), or choose the mlp.",
        )
    return shape


def scaled(channels: int, width: float) -> int:
    """Return the channels of a thinner or wider model: a multiple of 8, because kernels are fast there.

    >>> scaled(32, 0.25), scaled(1024, 0.3)
    (8, 304)
    """
    return max(8, 8 * round(channels * width / 8))


def require_positive(option: str, value: float) -> None:
    """Check that an option is a number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ModelError("MODEL_OPTION_INVALID", f"option {option}: {value!r} is not a number above 0.")


def require_sizes(option: str, value: Sequence[int]) -> Sequence[int]:
    """Return the sizes of layers, or say that this option must list one or more."""
    sizes = value if isinstance(value, Sequence) else ()
    if not sizes or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise ModelError("MODEL_OPTION_INVALID", f"option {option}: {value!r} is not a list of whole numbers above 0.")
    return sizes
