"""How good a model is on samples that it was not trained on, and how sure we are of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
        mistakes: how many samples of one class were taken for another, by (label, predicted).
    """

    class_counts: tuple[int, ...]
    correct_counts: tuple[int, ...]
    loss_sum: float
    mistakes: Mapping[tuple[int, int], int] = field(default_factory=dict)

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

    def confusions(self, most: int = 100) -> list[list[int]]:
        """Return what was taken for what, [label, predicted, how many], the most frequent first."""
        ranked = sorted(self.mistakes.items(), key=lambda item: (-item[1], item[0]))
        return [[label, predicted, count] for (label, predicted), count in ranked[:most]]


def count_answers(label: Sequence[int], predicted: Sequence[int], loss_sum: float, class_count: int) -> Evaluation:
    """Compare answers with the truth.

    >>> found = count_answers([0, 1, 1], [0, 0, 1], 0.9, class_count=2)
    >>> found.class_counts, found.correct_counts, found.mistakes
    ((1, 2), (1, 1), {(1, 0): 1})
    """
    pairs = Counter(zip(label, predicted, strict=True))
    present, correct = Counter(label), [pairs[each, each] for each in range(class_count)]
    mistakes = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    return Evaluation(tuple(present[each] for each in range(class_count)), tuple(correct), loss_sum, mistakes)


def total(parts: Iterable[Evaluation]) -> Evaluation:
    """Return evaluations of one or more sets of samples as one of all of them."""
    listed = list(parts)
    mistakes: Counter[tuple[int, int]] = Counter()
    for part in listed:
        mistakes.update(part.mistakes)
    return Evaluation(
        tuple(map(sum, zip(*(part.class_counts for part in listed), strict=True))),
        tuple(map(sum, zip(*(part.correct_counts for part in listed), strict=True))),
        sum(part.loss_sum for part in listed),
        dict(mistakes),
    )


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], class_count: int) -> Evaluation:
    """Predict batch by batch and count.

    Args:
        model: maps [N, *shape] to logits [N, C]; it is in evaluation mode for the call.
        batches: of normalised input [N, *shape] and labels [N] int64.
        class_count: C.
    """
    truth: list[int] = []
    answers: list[int] = []
    loss = 0.0
    for x, label in batches:
        predicted, some = predict(model, x, label)
        truth += label.tolist()
        answers += predicted
        loss += some
    return count_answers(truth, answers, loss, class_count)


@torch.inference_mode()
def predict(model: nn.Module, x: Tensor, label: Tensor) -> tuple[list[int], float]:
    """Return the likeliest class of each sample, and the sum of the cross-entropies.

    Args:
        model: maps [N, *shape] to logits [N, C]; it is in evaluation mode for the call.
        x: normalised input [N, *shape].
        label: [N] int64.
    """
    with evaluating(model):
        logits = model(x)
    return logits.argmax(1).tolist(), nn.functional.cross_entropy(logits, label, reduction="sum").item()


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
