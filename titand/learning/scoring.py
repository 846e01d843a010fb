"""One forward pass of candidates: all that selection needs to know about each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from titand.learning.models.split import SplitModel

FEATURE_LIMIT = 256  # numbers per sample that the filter does its arithmetic on
MAP_BYTES = (
    4 << 20
)  # of a feature map on the CPU; malloc has larger ones faulted in anew each time, at several times the cost


@dataclass(frozen=True)
class Forward:
    """What one forward pass says about K candidates.

    The gradient of the last layer for candidate k, class c is residual[k, c] * hidden[k], or residual[k, c] *
    hidden[k, c] where hidden has a class dimension; see `residual`.

    Attributes:
        feature: [K, F] output of the first block, as the filter sees it.
        hidden: [K, D + 1], or [K, C, D + 1] for a convolutional head; the last column belongs to the bias.
        logits: [K, C].
    """

    feature: Tensor
    hidden: Tensor
    logits: Tensor


@torch.inference_mode()
def score(model: SplitModel, x: Tensor) -> Forward:
    """Run candidates through the model, without dropout and with running statistics.

    Args:
        model: on the device of x. It is put in evaluation mode for the call.
        x: [K, *shape] normalised input.
    """
    with evaluating(model):
        first = model.first_block(x)
        logits, hidden = model.head.with_hidden(model.rest(first))
    return Forward(condensed(first), hidden, logits)


@torch.inference_mode()
def first_block_feature(model: SplitModel, x: Tensor) -> Tensor:
    """Return what the filter looks at: the first block's output [N, F], F at most a few hundred.

    A feature map of C channels is averaged over a g x g grid, g = floor(sqrt(256 / C)) and at least 1: 64 channels give
    2 x 2 x 64 = 256 numbers instead of the 65,536 of a 32 x 32 map. Vectors stay as they are.

    Args:
        model: on the device of x. It is put in evaluation mode for the call.
        x: [N, *shape] normalised input.
    """
    with evaluating(model):
        return feature(model.first_block, x, portion_of(model.first_block, x))


@torch.inference_mode()
def portion_of(first_block: nn.Module, x: Tensor) -> int:
    """Return how many samples like these go through a first block together: as many as `MAP_BYTES` hold.

    >>> portion_of(nn.Conv2d(1, 64, 3, padding=1), torch.zeros(32, 1, 32, 32))
    16
    """
    if x.device.type != "cpu":
        return 1 << 30  # an accelerator's allocator keeps what it has
    size: int = first_block(x[:1]).nbytes
    return max(1, MAP_BYTES // size)


@torch.inference_mode()
def feature(first_block: nn.Module, x: Tensor, portion: int) -> Tensor:
    """Return what the filter looks at, see `first_block_feature`, of so many samples at a time."""
    return torch.cat([condensed(first_block(part)) for part in torch.split(x, portion)])


def residual(logits: Tensor, label: Tensor) -> Tensor:
    """Return softmax(logits) - onehot(label), the gradient of the cross-entropy by the logits.

    Args:
        logits: [K, C].
        label: [K] int64.

    >>> residual(torch.zeros(1, 2), torch.tensor([1]))
    tensor([[ 0.5000, -0.5000]])
    """
    probability = torch.softmax(logits, dim=1)
    return probability - nn.functional.one_hot(label, logits.shape[1]).to(probability.dtype)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode: no dropout, running statistics instead of the batch's."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()


def condensed(first: Tensor) -> Tensor:
    """Return the first block's output as the filter sees it, [N, F]; see `first_block_feature`."""
    if first.dim() == 4:
        channels, height, width = first.shape[1:]
        grid = max(1, math.isqrt(FEATURE_LIMIT // channels))
        # Four times as fast as adaptive_avg_pool2d on the CPU: rows are summed as vectors, columns come after.
        rows = [band.mean(2) for band in first.tensor_split(min(grid, height), dim=2)]
        columns = [band.mean(3) for band in torch.stack(rows, dim=2).tensor_split(min(grid, width), dim=3)]
        first = torch.stack(columns, dim=3)
    return first.flatten(1)
