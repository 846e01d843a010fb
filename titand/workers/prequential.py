"""How well arrivals are answered before they are trained on, and whether that has become worse for good."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from titand.clock import Clock
from titand.learning.drift import Drift, Rise

_DECAY = 0.98  # per window: the accuracy shown covers about the last fifty windows


class Prequential:
    """Accuracy on arrivals that no update has seen, and the last rise of the error.

    Args:
        margin: rise of the error that does not matter.
        clock: stamps.
    """

    def __init__(self, margin: float, clock: Clock) -> None:
        self._drift = Drift(margin)
        self._clock = clock
        self._right, self._answered = 0.0, 0.0
        self._rise: Rise | None = None
        self._rise_round, self._rise_ns = 0, 0

    def observe(self, is_right: Tensor, weight: Tensor, round: int) -> None:
        """Take the answers to a window.

        Args:
            is_right: [K] bool, of the candidates.
            weight: [K] arrivals that each candidate stands for.
            round: that the window is for.
        """
        answered = float(weight.sum())
        if answered <= 0:
            return
        right = float(weight[is_right].sum())
        self._right = self._right * _DECAY + right
        self._answered = self._answered * _DECAY + answered
        rise = self._drift.observe(1 - right / answered)
        if rise is not None:
            before = rise.before if self._rise is None else self._rise.before
            if self._rise is None:
                self._rise_round, self._rise_ns = round - rise.count + 1, self._clock.wall_ns()
            self._rise = Rise(before, rise.after, rise.count)
        elif self._rise is not None and (self._drift.mean or 0.0) <= self._rise.before + self._drift.margin:
            self._rise = None

    @property
    def accuracy(self) -> float | None:
        """Share of recent arrivals named correctly; None before the first window."""
        return self._right / self._answered if self._answered else None

    @property
    def counts(self) -> list[float]:
        """Right answers and answers, older ones fading: for a successor."""
        return [self._right, self._answered]

    @counts.setter
    def counts(self, counts: list[float]) -> None:
        self._right, self._answered = counts

    def health(self) -> list[dict[str, Any]]:
        """Return DRIFT_DETECTED until the error is down again."""
        if self._rise is None:
            return []
        text = (
            f"Since about round {self._rise_round:,} arrivals are answered worse: {100 * self._rise.before:.0f} % wrong"
            f" before, {100 * self._rise.after:.0f} % when it was noticed. The stream has changed, or its labels have."
        )
        return [{"code": "DRIFT_DETECTED", "severity": "warning", "message": text, "since_ns": self._rise_ns}]
