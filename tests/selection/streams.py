"""Small made-up windows whose true gradients are known, and what becomes of them over many repetitions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from titand.selection.candidates import CandidateSet
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.selector import Selector


@dataclass(frozen=True)
class Window:
    """Samples 0 to n-1 of a stream; sample i has row i everywhere and is its own key."""

    label: Tensor
    scores: Scores
    class_count: int

    @property
    def size(self) -> int:
        return len(self.label)

    @property
    def gradient(self) -> Tensor:
        """[n, C D], each sample's, written out."""
        part = self.scores.gradient
        return (part.residual.unsqueeze(2) * part.hidden.unsqueeze(1)).flatten(1).double()

    def candidates(self, row: Tensor | None = None, stage_weight: Tensor | None = None) -> CandidateSet:
        """Some rows as a candidate set; all of them, unfiltered, unless said otherwise."""
        row = torch.arange(self.size) if row is None else row
        weight = torch.ones(len(row), dtype=torch.float64) if stage_weight is None else stage_weight
        count = torch.bincount(self.label, minlength=self.class_count)
        return CandidateSet(tuple(row.tolist()), self.label[row], weight, count)


def make_window(size: int = 40, class_count: int = 5, width: int = 4, skill: float = 2.0, seed: int = 0) -> Window:
    """A window as a half-trained model sees it: classes of unequal size, some samples hard, most easy."""
    generator = torch.Generator().manual_seed(seed)
    share = 1 / torch.arange(1, class_count + 1)
    label = torch.multinomial(share, size, replacement=True, generator=generator)
    logits = torch.randn(size, class_count, generator=generator, dtype=torch.float64)
    logits[torch.arange(size), label] += skill
    return window_of(logits, label, torch.rand(size, width, generator=generator, dtype=torch.float64))


def window_of(logits: Tensor, label: Tensor, hidden: Tensor) -> Window:
    probability = logits.softmax(dim=1)
    residual = probability - torch.nn.functional.one_hot(label, logits.shape[1])
    loss = torch.nn.functional.cross_entropy(logits, label, reduction="none")
    scores = Scores(LastLayerGradient(residual, hidden), loss, probability, input=hidden)
    return Window(label, scores, logits.shape[1])


def estimates(
    window: Window, selector: Selector, batch_size: int, repetitions: int, rule: str = "", capacity: int = 0
) -> tuple[Tensor, list[float | None]]:
    """Return [R, C D], the batch gradient of each repetition, and the variance ratios claimed.

    Without a rule the selector sees the whole window, else what the coarse filter leaves of it.
    """
    generator = torch.Generator().manual_seed(1)
    batch_gradient, ratio = [], []
    for _ in range(repetitions):
        candidates = window.candidates()
        if rule:
            coarse = CoarseFilter(window.class_count, capacity, 0, rule=rule, generator=generator)
            coarse.offer(range(window.size), window.label, None)
            candidates = coarse.cut()
        key = torch.tensor(candidates.key)
        draw = selector.select(candidates, window.scores.take(key), batch_size, generator)
        weighted = draw.sample_weight.unsqueeze(1) * window.gradient[key[draw.index]]
        batch_gradient.append(weighted.mean(0))
        ratio.append(draw.variance_ratio)
    return torch.stack(batch_gradient), ratio


def mean_squared_error(estimate: Tensor, truth: Tensor) -> float:
    return float((estimate - truth).square().sum(1).mean())


def assert_unbiased(estimate: Tensor, truth: Tensor) -> None:
    """The mean of R estimates is off by chance alone.

    |mean - truth|^2 has the expectation tr(S)/R and the variance 2 tr(S^2)/R^2 <= 2 tr(S)^2/R^2; eight of
    its standard deviations above the expectation are (1 + 8 sqrt 2) tr(S)/R.
    """
    repetitions = len(estimate)
    scatter = float(estimate.var(dim=0).sum())
    off = float((estimate.mean(0) - truth).square().sum())
    assert off <= (1 + 8 * 2**0.5) * scatter / repetitions
