"""Multi-layer perceptron, for feature vectors such as 900 numbers of motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from titand.learning.models.layers import require_sizes
from titand.learning.models.split import LinearHead, Shape, SplitModel


class MLP(SplitModel):
    """Linear and ReLU, once per hidden size. First block: the first pair.

    Args:
        shape: of one input; it is flattened.
        class_count: C.
        hidden: sizes of the hidden layers.
    """

    def __init__(self, shape: Shape, class_count: int, *, hidden: Sequence[int] = (128,)) -> None:
        size = [math.prod(shape), *require_sizes("hidden", hidden)]
        layer = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(size)]
        super().__init__(
            first_block=nn.Sequential(nn.Flatten(), *layer[:1]),
            rest=nn.Sequential(*layer[1:]),
            head=LinearHead(size[-1], class_count),
        )
