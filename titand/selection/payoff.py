"""Whether selection is worth its energy, and what to do when it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from titand.selection.control_arm import Interval


class Mode(str, Enum):
    """How batches are chosen at present."""

    SELECTING = "selecting"
    RESTING = "resting"  # class-stratified random selection, until the next try


@dataclass(frozen=True)
class Reason:
    """Why the mode is what it is: stable code, and a sentence."""

    code: str
    message: str


STARTED = Reason("SELECTING", "Selection is on.")


class Payoff:
    """Decides between selection and class-stratified random batches, from what is measured of both.

    Selection rests when, over the horizon, it is worse than random beyond doubt: the whole 95 % interval of the
    control arm's gain lies at or below zero, or that of the variance ratio's logarithm does: ratios have a heavy
    tail, and one round in which selection is all but exact must not speak for the others. Doubt keeps it on. After a
    rest it is tried again, and judged anew.

    Args:
        horizon_rounds: rounds that a verdict takes; 0 never lets it rest.
        rest_rounds: rounds until it is tried again.

    Example:
        >>> payoff = Payoff(horizon_rounds=2, rest_rounds=1)
        >>> harmful = Interval(mean=-0.2, margin=0.1, rounds=40)
        >>> payoff.after_round(harmful, None), payoff.after_round(harmful, None)
        (False, True)
        >>> payoff.mode.value, payoff.reason.message
        ('resting', 'Random batches taught a last layer more: gain -0.2 +-0.1 nats over 40 rounds.')
        >>> payoff.after_round(None, None), payoff.reason.code
        (True, 'TRYING_AGAIN')
    """

    def __init__(self, horizon_rounds: int, rest_rounds: int) -> None:
        self._horizon_rounds = horizon_rounds
        self._rest_rounds = rest_rounds
        self._rounds = 0
        self.mode = Mode.SELECTING
        self.reason = STARTED

    def after_round(self, control: Interval | None, log_variance_ratio: Interval | None) -> bool:
        """Count a round; return whether the mode has changed, and with it what is to be measured begins anew.

        Args:
            control: gain of the control arm in nats, above 0 when selection pays; None while unknown.
            log_variance_ratio: natural logarithm of the variance of random over that of selection, above 0 when it
                pays; None while unknown.
        """
        self._rounds += 1
        if self.mode is Mode.RESTING:
            if self._rounds < self._rest_rounds:
                return False
            self._enter(Mode.SELECTING, Reason("TRYING_AGAIN", "Selection did not pay earlier and is tried again."))
            return True
        if not self._horizon_rounds or self._rounds < self._horizon_rounds:
            return False
        verdict = _verdict(control, log_variance_ratio)
        if verdict is None:
            return False
        self._enter(Mode.RESTING, verdict)
        return True

    def to_plain(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"rounds": self._rounds, "mode": self.mode.value, "reason": [self.reason.code, self.reason.message]}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Continue from what `to_plain` gave."""
        self._rounds, self.mode, self.reason = plain["rounds"], Mode(plain["mode"]), Reason(*plain["reason"])

    def _enter(self, mode: Mode, reason: Reason) -> None:
        self.mode, self.reason, self._rounds = mode, reason, 0


def _verdict(control: Interval | None, log_variance_ratio: Interval | None) -> Reason | None:
    if control is not None and control.high <= 0:
        text = f"Random batches taught a last layer more: gain {control.mean:.2g} +-{control.margin:.2g} nats"
        return Reason("CONTROL_ARM_WINS", f"{text} over {control.rounds} rounds.")
    if log_variance_ratio is not None and log_variance_ratio.high <= 0:
        mean, low, high = map(math.exp, (log_variance_ratio.mean, log_variance_ratio.low, log_variance_ratio.high))
        text = f"Selection does not lower the variance: random has {mean:.3g} times as much ({low:.3g} to {high:.3g})"
        return Reason("VARIANCE_NOT_LOWERED", f"{text} over {log_variance_ratio.rounds} rounds.")
    return None
