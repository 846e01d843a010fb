"""Whether selection pays, judged while it works: closed-form gain, control arm, and the rest that may follow."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from titand.learning.models.split import LinearHead, SplitModel
from titand.selection.candidates import CandidateSet
from titand.selection.control_arm import ControlArm, Interval, interval_of
from titand.selection.payoff import Mode, Payoff
from titand.selection.sampling import Draw


class Judge:
    """Watches the rounds of a selector and says whether it is to rest.

    Args:
        model: whose last layer the control arm starts from.
        payoff: the rule.
        horizon_rounds: that its figures cover.
        rate: learning rate of a round.
        generator: of the control's random batches.
    """

    def __init__(
        self,
        model: SplitModel,
        payoff: Payoff,
        horizon_rounds: int,
        rate: Callable[[int], float],
        generator: torch.Generator,
    ) -> None:
        self._model = model
        self._payoff = payoff
        self._horizon_rounds = horizon_rounds
        self._rate = rate
        self._generator = generator
        self._arm: ControlArm | None = None
        self._ratios: deque[float] = deque(maxlen=max(1, horizon_rounds))
        self.control: Interval | None = None

    @property
    def is_resting(self) -> bool:
        """Whether batches are to be random for now."""
        return self._payoff.mode is Mode.RESTING

    def after_selection(self, candidates: CandidateSet, hidden: Tensor, draw: Draw, round: int) -> None:
        """Take a round that was selected; `hidden` is the [K, ...] input of the last layer."""
        if draw.variance_ratio is not None:
            self._ratios.append(draw.variance_ratio)
        # The head that averages a ReLU over positions is not linear in its weights: it goes without a control arm.
        if hidden.dim() == 2 and isinstance(self._model.head, LinearHead):
            if self._arm is None:
                self._arm = ControlArm(_weight_with_bias(self._model.head), self._horizon_rounds, self._generator)
            self._arm.compare(hidden, candidates.label, candidates.stage_weight, draw, self._rate(round))
            self.control = self._arm.gain()
        if self._payoff.after_round(self.control, interval_of([math.log(each) for each in self._ratios])):
            self._begin_anew()

    def after_rest(self) -> None:
        """Take a round that was random because selection rests."""
        if self._payoff.after_round(None, None):
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._arm = None
        self._ratios.clear()
        if not self.is_resting:
            self.control = None  # while it rests, the figures that sent it to rest stay in sight

    def state(self) -> dict[str, Tensor]:
        """Return both layers of the control arm, if there is one, and its generator."""
        arm = {f"arm.{name}": tensor for name, tensor in self._arm.state().items()} if self._arm is not None else {}
        return {**arm, "generator": self._generator.get_state()}

    def to_plain(self) -> dict[str, Any]:
        """Return all that is no tensor."""
        control = None if self.control is None else dataclasses.astuple(self.control)
        return {"payoff": self._payoff.to_plain(), "ratios": list(self._ratios), "control": control}

    def restore(self, state: dict[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Continue from what `state` and `to_plain` gave."""
        self._generator.set_state(state["generator"])
        self._payoff.restore(plain["payoff"])
        self._ratios.extend(plain["ratios"])
        self.control = None if plain["control"] is None else Interval(*plain["control"])
        if "arm.selected" in state and isinstance(self._model.head, LinearHead):
            self._arm = ControlArm(_weight_with_bias(self._model.head), self._horizon_rounds, self._generator)
            self._arm.restore({name: state[f"arm.{name}"] for name in ("selected", "control", "differences")})

    def report(self) -> dict[str, Any]:
        """Return what the selector's board says about it."""
        control = self.control
        return {
            "control_gain": None if control is None else [control.mean, control.margin, control.rounds],
            "mode": self._payoff.mode.value,
            "mode_reason": self._payoff.reason.code,
            "mode_message": self._payoff.reason.message,
        }


def _weight_with_bias(head: LinearHead) -> Tensor:
    return torch.cat([head.weight, head.bias.unsqueeze(1)], dim=1)
