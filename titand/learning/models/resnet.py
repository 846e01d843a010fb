"""ResNet34 and ResNet50 for small images.

K. He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385. The stem is a 3x3 convolution of
stride 1 without pooling, as is usual for inputs of about 32x32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from titand.learning.models.layers import conv, require_image, require_positive, scaled
from titand.learning.models.split import LinearHead, Shape, SplitModel

Block = Callable[[int, int, int, str], nn.Module]

WIDTHS = (64, 128, 256, 512)
DEPTHS = (3, 4, 6, 3)  # of ResNet34 and ResNet50 alike


class Residual(nn.Module):
    """Input plus branch, then ReLU; where the shapes differ, the input goes through a 1x1 convolution.

    The last scale of the branch starts at zero (P. Goyal et al., arXiv:1706.02677), so that the network starts as a
    shallow one and a large rate does not throw it off in the first rounds.
    """

    def __init__(self, branch: nn.Sequential, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv(in_channels, out_channels, kernel=1, stride=stride, norm=norm)[:2]

    def start_as_identity(self) -> None:
        """Set the last scale of the branch, and its shift, to zero."""
        last = [layer for layer in self.branch.modules() if getattr(layer, "weight", None) is not None][-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        return torch.relu(self.shortcut(x) + self.branch(x))


def basic(in_channels: int, width: int, stride: int, norm: str) -> Residual:
    """Return ResNet34's block: two 3x3 convolutions."""
    branch = nn.Sequential(conv(in_channels, width, stride=stride, norm=norm), conv(width, width, norm=norm)[:2])
    return Residual(branch, in_channels, width, stride, norm)


def bottleneck(in_channels: int, width: int, stride: int, norm: str) -> Residual:
    """Return ResNet50's block: down to `width` channels, 3x3, up to four times as many."""
    branch = nn.Sequential(
        conv(in_channels, width, kernel=1, norm=norm),
        conv(width, width, stride=stride, norm=norm),
        conv(width, 4 * width, kernel=1, norm=norm)[:2],
    )
    return Residual(branch, in_channels, 4 * width, stride, norm)


class ResNet(SplitModel):
    """A stem and sixteen blocks in four stages, each at half the side of the one before. First block: the stem.

    Args:
        shape: [channels, height, width].
        class_count: C.
        block: of the stages.
        expansion: channels that a block gives over its own width.
        width: factor of all channel counts.
        norm: "batch" or "group".
    """

    def __init__(self, shape: Shape, class_count: int, block: Block, expansion: int, width: float, norm: str) -> None:
        require_positive("width", width)
        stem = scaled(WIDTHS[0], width)
        layer, last = [], stem
        for stage, (channels, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            for i in range(depth):
                layer.append(block(last, scaled(channels, width), 2 if stage > 0 and i == 0 else 1, norm))
                last = expansion * scaled(channels, width)
        super().__init__(
            first_block=conv(shape[0], stem, norm=norm),
            rest=nn.Sequential(*layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            head=LinearHead(last, class_count),
        )


def resnet34(shape: Shape, class_count: int, *, width: float = 1.0, norm: str = "batch") -> ResNet:
    """Return ResNet34 for [channels, height, width]; norm is "batch" as the original, or "group"."""
    return ResNet(require_image("resnet34", shape), class_count, basic, 1, width, norm)


def resnet50(shape: Shape, class_count: int, *, width: float = 1.0, norm: str = "batch") -> ResNet:
    """Return ResNet50 for [channels, height, width]; norm is "batch" as the original, or "group"."""
    return ResNet(require_image("resnet50", shape), class_count, bottleneck, 4, width, norm)
