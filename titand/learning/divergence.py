"""Whether updates do more harm than good, from the losses of the rounds alone."""

from __future__ import annotations

import math
from enum import Enum

NOT_FINITE_ROUNDS = 3
DIVERGED_ROUNDS = 50
DIVERGED_FACTOR = 2.0


class Stray(str, Enum):
    """Why the parameters cannot be trusted."""

    UPDATES_NOT_FINITE = "UPDATES_NOT_FINITE"
    LOSS_DIVERGED = "LOSS_DIVERGED"


class Divergence:
    """Counts rounds in a row that went astray.

    A round whose update was not finite changed nothing, but the next will be no better if it is the parameters that are
    to blame: three in a row. A finite loss is astray above twice ln C, C classes: knowing nothing costs ln C, so this
    model is worse than none, and 50 rounds of training have not helped. Labels that change their meaning do that to a
    good model for a few rounds, a learning rate that is too high for good. docs/experiments.md has the measurement.

    Args:
        class_count: C.
    """

    def __init__(self, class_count: int) -> None:
        self._limit = DIVERGED_FACTOR * math.log(class_count)
        self._not_finite = 0
        self._diverged = 0

    def observe(self, loss: float, finite: bool) -> Stray | None:
        """Take a round; say what is wrong, if it has been for long enough.

        Args:
            loss: mean cross-entropy of the batch before the update, each sample counted once.
            finite: whether the update was.

        >>> watch = Divergence(class_count=10)
        >>> [watch.observe(math.nan, finite=False) for _ in range(3)][-1].value
        'UPDATES_NOT_FINITE'
        """
        self._not_finite = 0 if finite else self._not_finite + 1
        self._diverged = self._diverged + 1 if finite and loss > self._limit else 0
        if self._not_finite >= NOT_FINITE_ROUNDS:
            return Stray.UPDATES_NOT_FINITE
        if self._diverged >= DIVERGED_ROUNDS:
            return Stray.LOSS_DIVERGED
        return None

    def begin_anew(self) -> None:
        """Forget what was: other parameters are in place."""
        self._not_finite = self._diverged = 0
