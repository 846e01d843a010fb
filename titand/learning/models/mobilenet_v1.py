"""MobileNetV1 for small images.

A. Howard et al., "MobileNets", arXiv:1704.04861. The stem keeps the resolution (stride 1 where the original has 2), as
is usual for inputs of about 32x32; everything after it is the original.
"""

from __future__ import annotations

from torch import nn

from titand.learning.models.layers import ChannelsLast, conv, require_image, require_positive, scaled
from titand.learning.models.split import LinearHead, Shape, SplitModel

# Channels and stride of the thirteen separable convolutions.
PLAN = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


def separable(in_channels: int, out_channels: int, stride: int, norm: str) -> nn.Sequential:
    """Return a convolution in two factors: each channel by itself, then all channels at each position."""
    return nn.Sequential(
        conv(in_channels, in_channels, stride=stride, groups=in_channels, norm=norm),
        conv(in_channels, out_channels, kernel=1, norm=norm),
    )


class MobileNetV1(SplitModel):
    """A stem and thirteen separable convolutions. First block: the stem.

    Args:
        shape: [channels, height, width].
        class_count: C.
        width: factor of all channel counts, e.g. 0.25.
        norm: "batch" as the original, or "group".
    """

    def __init__(self, shape: Shape, class_count: int, *, width: float = 1.0, norm: str = "batch") -> None:
        channels = require_image("mobilenet_v1", shape)[0]
        require_positive("width", width)
        stem = scaled(32, width)
        block, last = [], stem
        for out_channels, stride in PLAN:
            block.append(separable(last, scaled(out_channels, width), stride, norm))
            last = scaled(out_channels, width)
        super().__init__(
            first_block=conv(channels, stem, norm=norm),
            rest=nn.Sequential(ChannelsLast(), *block, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            head=LinearHead(last, class_count),
        )
