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
