"""What a window was boiled down to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from titand.selection.candidates import CandidateSet
from titand.selection.importance import Scores
from titand.selection.sampling import Draw


@dataclass(frozen=True)
class Chosen:
    """The choice of one round.

    Attributes:
        position: [B] int64, positions in the window.
        draw: weights, gain.
        candidates: what it was drawn from.
        scores: of the candidates; None where the selector needs none.
    """

    position: Tensor
    draw: Draw
    candidates: CandidateSet
    scores: Scores | None
