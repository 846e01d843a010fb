"""One step of learning from a weighted batch: a core without a process, a clock or a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from titand.learning.averaging import Average
from titand.learning.models.split import SplitModel
from titand.learning.optimizers import Optimizer
from titand.learning.schedules import Schedule
from titand.learning.state import model_tensors


@dataclass(frozen=True)
class StepReport:
    """What one step did.

    Attributes:
        loss: (1/B) sum_i w_i CE_i, what was minimised.
        plain_loss: (1/B) sum_i CE_i, what a reader compares between rounds.
        gradient_norm: of the weighted loss, over all parameters.
        rate: learning rate used.
        finite: False when loss or gradient was not, and nothing was changed; or when the parameters are not any more,
            or their squares overflow: whoever has the values of before puts them back.
    """

    loss: float
    plain_loss: float
    gradient_norm: float
    rate: float
    finite: bool


class Learner:
    """Trains a model on one weighted batch at a time.

    Everything that a step changes is in `tensors()`; the learning rate follows from the round's number. So tensors and
    number are all that resuming needs, and a resumed run on the CPU equals the uninterrupted one bit for bit.

    Args:
        model: trained in place, on its own device.
        optimizer: built over `dict(model.named_parameters())`.
        schedule: round -> learning rate.
        average: follows the model, where there is one.

    Attributes:
        rate_factor: what the schedule's rate is multiplied by.
    """

    def __init__(
        self, model: SplitModel, optimizer: Optimizer, schedule: Schedule, average: Average | None = None
    ) -> None:
        self.model = model
        self._average = average
        self.rate_factor = 1.0
        self._optimizer = optimizer
        self._schedule = schedule
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._buffers = list(model.buffers())

    def tensors(self) -> dict[str, Tensor]:
        """Return all live tensors that a step changes: the model's first, then their averages, then the optimizer's."""
        averages = self._average.tensors if self._average is not None else {}
        return {**model_tensors(self.model), **averages, **self._optimizer.tensors()}

    def step(self, x: Tensor, label: Tensor, sample_weight: Tensor, round: int) -> StepReport:
        """Take one step down the gradient of (1/B) sum_i w_i CE_i.

        Args:
            x: [B, *shape] normalised input.
            label: [B] int64.
            sample_weight: [B] what undoes the bias of the draw.
            round: from 1; sets the learning rate.
        """
        rate = self._schedule(round) * self.rate_factor
        if self.model.training != (len(x) > 1):
            self.model.train(len(x) > 1)  # one sample has no statistics: BatchNorm then uses the running ones
        buffers = [b.clone() for b in self._buffers]  # the forward pass moves them before we know the loss
        cross_entropy = nn.functional.cross_entropy(self.model(x), label, reduction="none")
        loss = (sample_weight.to(cross_entropy.dtype) * cross_entropy).mean()
        gradient = torch.autograd.grad(loss, self._parameters)
        gradient_norm = _norm(gradient)
        finite = math.isfinite(loss.item()) and math.isfinite(gradient_norm)
        if finite:
            self._optimizer.step(gradient, rate)
            if self._average is not None:
                self._average.follow(round)
            finite = math.isfinite(_norm(self._parameters))
        else:
            for live, kept in zip(self._buffers, buffers, strict=True):
                live.copy_(kept)
        return StepReport(loss.item(), cross_entropy.mean().item(), gradient_norm, rate, finite)


@torch.no_grad()
def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack(torch._foreach_norm(list(tensors))).norm())
