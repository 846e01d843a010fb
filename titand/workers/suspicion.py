"""Watches what is scored for samples whose labels look wrong, and tells the board."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from titand.selection.importance import Scores
from titand.selection.suspects import Suspects
from titand.selection.twins import Twins

_DIGITS = 4  # behind the point, of what is shown


class Suspicion:
    """What scoring and evaluation say about labels.

    Args:
        class_count: C.
        generator: of the sketches' signs.
    """

    def __init__(self, class_count: int, generator: torch.Generator) -> None:
        self._suspects = Suspects(class_count)
        self._twins = Twins(generator)

    def on_scored(self, number: Sequence[int], label: Tensor, scores: Scores) -> None:
        """Look at candidates that were just scored, then learn from them what is usual.

        Args:
            number: of the K samples.
            label: [K] int64, on the CPU.
            scores: of the same samples, with their inputs.
        """
        sound = scores.loss.isfinite() & scores.gradient.hidden.flatten(1).sum(dim=1).isfinite()
        if not sound.all():
            row = sound.nonzero()[:, 0].cpu()
            number, label, scores = [number[i] for i in row.tolist()], label[row], scores.take(row)
        hidden, probability = scores.gradient.hidden, scores.probability
        self._suspects.look(number, label, hidden, probability)
        if scores.input is not None and len(number):
            self._suspects.add(self._twins.look(number, label.tolist(), scores.input))
        self._suspects.learn(label, hidden, probability)

    def on_held_out(self, number: Sequence[int], label: Tensor, hidden: Tensor, probability: Tensor) -> None:
        """Look at held-out samples: never trained on, so that nothing was learned by heart."""
        self._suspects.look(number, label, hidden, probability)

    def forget(self, number: int) -> None:
        """Let go of a sample whose label was corrected."""
        self._suspects.forget(number)

    def to_plain(self) -> dict[str, Any]:
        """Return what the board says: the suspects, the most suspicious first."""
        return {"suspects": [_plain(dataclasses.asdict(each)) for each in self._suspects.listed()]}


def _plain(suspect: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in suspect.items()}
