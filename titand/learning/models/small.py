"""A small network for small grey images: handwritten digits of 8x8 or 28x28."""

from __future__ import annotations

from torch import nn

from titand.learning.models.layers import conv, require_image
from titand.learning.models.split import LinearHead, Shape, SplitModel


class DigitsCNN(SplitModel):
    """Two convolutions, one hidden layer, no normalisation. First block: the first convolution.

    Args:
        shape: [channels, height, width].
        class_count: C.
    """

    def __init__(self, shape: Shape, class_count: int) -> None:
        channels, height, width = require_image("digits_cnn", shape)
        area = -(-height // 4) * -(-width // 4)
        super().__init__(
            first_block=conv(channels, 16, norm="none"),
            rest=nn.Sequential(
                nn.MaxPool2d(2, ceil_mode=True),
                conv(16, 32, norm="none"),
                nn.MaxPool2d(2, ceil_mode=True),
                nn.Flatten(),
                nn.Linear(32 * area, 64),
                nn.ReLU(),
            ),
            head=LinearHead(64, class_count),
        )
