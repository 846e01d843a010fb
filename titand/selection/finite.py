"""Keeping samples whose scores are not finite out of every choice, and saying which they were."""

from __future__ import annotations

from typing import Protocol

import torch

from titand.selection.candidates import CandidateSet
from titand.selection.importance import Scores
from titand.selection.sampling import Draw


class Choice(Protocol):
    """What a selector does with one candidate or more, all with finite scores."""

    def __call__(self, candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
        """See `Selector.select`."""


def choose_among_finite(
    choose: Choice,
    candidates: CandidateSet,
    scores: Scores | None,
    batch_size: int,
    generator: torch.Generator,
) -> Draw:
    """Let `choose` choose among the rows with finite scores; the others are reported as dropped.

    Args:
        choose: sees finite scores only, and at least one row of them.
        candidates: K of them.
        scores: of the same rows.
        batch_size: B, >= 1.
        generator: of all chance in it, on the CPU.

    Example:
        >>> from titand.selection.baselines import high_loss
        >>> from titand.selection.importance import LastLayerGradient
        >>> loss = torch.tensor([1.0, float("nan"), 2.0])
        >>> scores = Scores(LastLayerGradient(torch.ones(3, 1), torch.ones(3, 1)), loss, torch.ones(3, 1))
        >>> label, ones = torch.tensor([0, 0, 0]), torch.ones(3, dtype=torch.float64)
        >>> candidates = CandidateSet((0, 1, 2), label, ones, torch.tensor([3]))
        >>> draw = choose_among_finite(high_loss, candidates, scores, 2, torch.Generator())
        >>> draw.index.tolist(), draw.dropped.tolist()
        ([2, 0], [1])

    Raises:
        ValueError: no scores, scores of other rows than the candidates', or a batch of less than one.
    """
    if scores is None or len(scores.loss) != len(candidates.key):
        count = "no" if scores is None else len(scores.loss)
        raise ValueError(f"{count} scores for {len(candidates.key)} candidates")
    if batch_size < 1:
        raise ValueError(f"batch size: expected an integer above 0, got {batch_size}")
    finite = scores.finite()
    row, dropped = finite.nonzero().flatten(), (~finite).nonzero().flatten()
    if len(row) == 0:
        return Draw(row, torch.zeros(0, dtype=torch.float64), None, dropped)
    if len(dropped) == 0:
        return choose(candidates, scores, batch_size, generator)
    draw = choose(candidates.take(row), scores.take(row), batch_size, generator)
    return Draw(row[draw.index], draw.sample_weight, draw.variance_ratio, dropped)
