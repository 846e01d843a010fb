"""What may change the exponent of the sample weights, or the learning rate, while a run is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch

from benchmarks.paper.chosen import Chosen
from titand.selection import contradiction
from titand.selection.gain import stage_variance, uniform_variance

DECAY = 0.98  # of running means, per round
MOST = 4.0  # times the rate, at most


class Rule(Protocol):
    """Sees each choice, and says what the next round shall use."""

    value: float

    def after(self, chosen: Chosen) -> None:
        """Look at what was chosen."""


class Contradiction(contradiction.Contradiction):
    """The daemon's rule, from a plain average up."""

    def __init__(self, full: float = 0.1) -> None:
        super().__init__(0.0, full)
        self.value = self.exponent

    def after(self, chosen: Chosen) -> None:
        """Look at the candidates."""
        if chosen.scores is not None:
            self.observe(chosen.candidates, chosen.scores.probability)
            self.value = self.exponent


class Anneal:
    """beta from 0 to 1 in the course of so many rounds: emphasis first, the unbiased mean at last."""

    def __init__(self, rounds: int = 2000) -> None:
        self._rounds = rounds
        self._round = 0
        self.value = 0.0

    def after(self, chosen: Chosen) -> None:
        """Count."""
        self._round += 1
        self.value = min(1.0, self._round / self._rounds)


class RateByGain:
    """The rate times what less noisy gradients allow, as in AdaScale (T. Johnson et al., ICML 2020).

        factor = (V_random + |G|^2) / (V_used + |G|^2)

    with G the mean gradient of the window in the last layer and V the variances of the batch's, running means of all,
    at most `MOST`. Where G outweighs the noise, less noise allows nothing.
    """

    def __init__(self, batch: int = 10) -> None:
        self._batch = batch
        self._random, self._used, self._square = 0.0, 0.0, 0.0
        self.value = 1.0

    def after(self, chosen: Chosen) -> None:
        """Add this window's variances."""
        ratio = chosen.draw.variance_ratio
        if chosen.scores is None or ratio is None:
            return
        candidates, gram = chosen.candidates, chosen.scores.gradient.gram().cpu()
        weight, n = candidates.stage_weight, candidates.window_size
        group = candidates.label if candidates.by_class else torch.zeros_like(candidates.label)
        added = stage_variance(gram, weight, group)
        random = uniform_variance(gram, weight, n, self._batch, added)
        square = max(0.0, float(weight @ gram @ weight) - added)
        self._random = DECAY * self._random + random
        self._used = DECAY * self._used + random / ratio
        self._square = DECAY * self._square + square
        below = self._used + self._square
        self.value = min(MOST, (self._random + self._square) / below) if below > 0 else 1.0


RULES: Mapping[str, Callable[[], Rule]] = {
    "contradiction": Contradiction,
    "contradiction-5": partial(Contradiction, full=0.05),
    "anneal": Anneal,
}
RATE_RULES: Mapping[str, Callable[[], Rule]] = {"adascale": RateByGain}
