"""AlexNet for small images.

A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997: five convolutions of
64, 192, 384, 256 and 256 channels. For inputs of about 32x32 the kernels are 3x3 and the side is divided by 16;
BatchNorm follows each. There is no dropout: a stream is seen once, and a step stays free of chance.
"""

from __future__ import annotations

from torch import nn

from titand.learning.models.layers import conv, require_image, require_sizes
from titand.learning.models.split import LinearHead, Shape, SplitModel


class AlexNet(SplitModel):
    """Five convolutions, two hidden layers. First block: the first convolution.

    Args:
        shape: [channels, height, width].
        class_count: C.
        hidden: size of the two hidden layers; 4096 is the original's, 67 MB in one of them.
        norm: "batch", "group", or "none" as the original, which is slower to learn at the paper's rate of 0.1.
    """

    def __init__(self, shape: Shape, class_count: int, *, hidden: int = 1024, norm: str = "batch") -> None:
        channels, height, width = require_image("alexnet", shape)
        require_sizes("hidden", [hidden])
        area = -(-height // 16) * -(-width // 16)
        super().__init__(
            first_block=conv(channels, 64, stride=2, norm=norm),
            rest=nn.Sequential(
                nn.MaxPool2d(2, ceil_mode=True),
                conv(64, 192, norm=norm),
                nn.MaxPool2d(2, ceil_mode=True),
                conv(192, 384, norm=norm),
                conv(384, 256, norm=norm),
                conv(256, 256, norm=norm),
                nn.MaxPool2d(2, ceil_mode=True),
                nn.Flatten(),
                nn.Linear(256 * area, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
            ),
            head=LinearHead(hidden, class_count),
        )
