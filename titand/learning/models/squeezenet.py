"""SqueezeNet 1.1 for small images.

F. Iandola et al., "SqueezeNet", arXiv:1602.07360, in its version 1.1. The stem keeps the resolution (stride 1 where the
original has 2), and BatchNorm follows each convolution. There is no dropout: a stream is seen once, and a step stays
free of chance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from titand.learning.models.layers import ChannelsLast, conv, require_image
from titand.learning.models.split import ConvHead, Shape, SplitModel


class Fire(nn.Module):
    """Squeeze to few channels, then expand by 1x1 and by 3x3 kernels side by side."""

    def __init__(self, in_channels: int, squeeze: int, expand: int, norm: str) -> None:
        super().__init__()
        self.squeeze = conv(in_channels, squeeze, kernel=1, norm=norm)
        self.expand_1x1 = conv(squeeze, expand, kernel=1, norm=norm)
        self.expand_3x3 = conv(squeeze, expand, kernel=3, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, 2 expand, H, W]."""
        x = self.squeeze(x)
        return torch.cat([self.expand_1x1(x), self.expand_3x3(x)], dim=1)


def halve() -> nn.MaxPool2d:
    """Return SqueezeNet's overlapping pooling."""
    return nn.MaxPool2d(3, stride=2, padding=1)


class SqueezeNet(SplitModel):
    """A stem and eight fire modules. First block: the stem. The head is a convolution.

    Args:
        shape: [channels, height, width].
        class_count: C.
        norm: "batch", "group", or "none" as the original, which does not learn at the paper's rate of 0.1.
    """

    def __init__(self, shape: Shape, class_count: int, *, norm: str = "batch") -> None:
        channels = require_image("squeezenet", shape)[0]
        super().__init__(
            first_block=conv(channels, 64, norm=norm),
            rest=nn.Sequential(
                ChannelsLast(),
                halve(),
                Fire(64, 16, 64, norm),
                Fire(128, 16, 64, norm),
                halve(),
                Fire(128, 32, 128, norm),
                Fire(256, 32, 128, norm),
                halve(),
                Fire(256, 48, 192, norm),
                Fire(384, 48, 192, norm),
                Fire(384, 64, 256, norm),
                Fire(512, 64, 256, norm),
            ),
            head=ConvHead(512, class_count),
        )
