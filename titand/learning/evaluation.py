"""How good a model is on samples that it was not trained on, and how sure we are of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from titand.learning.scoring import evaluating

Z_95 = 1.959964  # the normal quantile of a two-sided 95 % interval


@dataclass(frozen=True)
class Evaluation:
    """Counts of an evaluation, and what follows from them.

    Attributes:
        class_counts: samples of each class.
        correct_counts: of these, predicted right.
        loss_sum: of the cross-entropy over all samples.
    """

    class_counts: tuple[int, ...]
    correct_counts: tuple[int, ...]
    loss_sum: float

    @property
    def sample_count(self) -> int:
        """Samples looked at."""
        return sum(self.class_counts)

    @property
    def accuracy(self) -> float | None:
        """Share predicted right; None without samples."""
        return sum(self.correct_counts) / self.sample_count if self.sample_count else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson_interval(sum(self.correct_counts), self.sample_count)

    @property
    def class_accuracy(self) -> tuple[float | None, ...]:
        """Share predicted right of each class; None for a class without samples."""
        pairs = zip(self.correct_counts, self.class_counts, strict=True)
        return tuple(correct / count if count else None for correct, count in pairs)

    @property
    def loss(self) -> float | None:
        """Mean cross-entropy; None without samples."""
        return self.loss_sum / self.sample_count if self.sample_count else None


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], class_count: int) -> Evaluation:
    """Predict batch by batch and count.

    Args:
        model: maps [N, *shape] to logits [N, C]; it is in evaluation mode for the call.
        batches: of normalised input [N, *shape] and labels [N] int64.
        class_count: C.
    """
    count = torch.zeros(class_count, dtype=torch.int64)
    correct = torch.zeros(class_count, dtype=torch.int64)
    loss = 0.0
    with evaluating(model):
        for x, label in batches:
            logits = model(x)
            right = label[logits.argmax(1) == label]
            count += torch.bincount(label, minlength=class_count).cpu()
            correct += torch.bincount(right, minlength=class_count).cpu()
            loss += nn.functional.cross_entropy(logits, label, reduction="sum").item()
    return Evaluation(tuple(count.tolist()), tuple(correct.tolist()), loss)


def wilson_interval(success_count: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of a share that was measured on few samples.

    centre = (k + z^2 / 2) / (n + z^2), half width = z / (n + z^2) * sqrt(k (n - k) / n + z^2 / 4). Unlike the normal
    approximation it stays within [0, 1], and says something sensible of 0 or n successes.

    Args:
        success_count: k.
        count: n; of 0 nothing is known, the interval is (0, 1).
        z: normal quantile; 1.96 gives 95 %.

    References:
        E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    >>> [round(x, 4) for x in wilson_interval(9, 10)]
    [0.5958, 0.9821]
    """
    if count == 0:
        return 0.0, 1.0
    centre = (success_count + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(success_count * (count - success_count) / count + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)
