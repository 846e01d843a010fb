"""A control inside the service: would random batches of the same stream have taught as much?"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from titand.selection.sampling import Draw

BLOCK_ROUNDS = 20  # neighbouring rounds resemble each other; means of blocks hardly do

# Student's t at 97.5 % for 1, 2, ... degrees of freedom, and the normal quantile for all above.
_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_Z_975 = 1.960


@dataclass(frozen=True)
class Interval:
    """A mean with the half-width of its 95 % interval, and the rounds behind it."""

    mean: float
    margin: float
    rounds: int

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.margin

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.margin


class ControlArm:
    """Two last layers over the same features, one taught by the selected batches, one by random ones.

    Each round, first both are asked about all candidates, which neither has seen, each candidate standing for its
    stage weight; then one takes a step on the batch that was selected, with its sample weights, and the other on as
    many candidates drawn uniformly over the window. What is kept is the difference in loss: control minus selected,
    above zero when selection pays. Both see the same features at the same time, so what the rest of the model learns
    cancels out. It costs no forward pass.

    What it does not see: selection's effect on the layers below. It is a check on the closed-form gain, which knows
    only variance, by actual learning.

    Args:
        weight: [C, D] last layer to start both from, bias as the last column.
        horizon_rounds: rounds that the difference covers.
        generator: of the random batches, on the CPU.

    Example:
        Of two samples only one is ever selected. The control, which sees both, gets ahead.

        >>> arm = ControlArm(torch.zeros(2, 2), horizon_rounds=40, generator=torch.Generator().manual_seed(0))
        >>> hidden, label = torch.eye(2), torch.tensor([0, 1])
        >>> for _ in range(40):
        ...     one = Draw(torch.tensor([0]), torch.ones(1, dtype=torch.float64))
        ...     arm.compare(hidden, label, torch.ones(2, dtype=torch.float64), one, rate=0.5)
        >>> arm.gain().mean < 0
        True
    """

    def __init__(self, weight: Tensor, horizon_rounds: int, generator: torch.Generator) -> None:
        self._selected = weight.detach().clone()
        self._control = weight.detach().clone()
        self._differences: deque[float] = deque(maxlen=max(horizon_rounds, 2 * BLOCK_ROUNDS))
        self._generator = generator

    @torch.no_grad()
    def compare(self, hidden: Tensor, label: Tensor, stage_weight: Tensor, draw: Draw, rate: float) -> None:
        """Judge both layers on a round's candidates, then teach both.

        Args:
            hidden: [K, D] input of the last layer, 1 appended for the bias, on any device.
            label: [K] int64.
            stage_weight: [K] float64, a_i.
            draw: the batch that was selected among them.
            rate: learning rate of both steps.
        """
        hidden = hidden.to(self._control.device).clone()  # it may be an inference tensor
        label, share = label.to(hidden.device), (stage_weight / stage_weight.sum()).to(hidden.device)
        sound = hidden.isfinite().all(dim=1)
        if not sound.all() or len(draw.index) == 0:
            return
        loss_control = _cross_entropy(hidden @ self._control.T, label)
        loss_selected = _cross_entropy(hidden @ self._selected.T, label)
        self._differences.append(float((share * (loss_control - loss_selected)).sum()))
        rows = draw.index.to(hidden.device)
        _step(self._selected, hidden[rows], label[rows], draw.sample_weight.to(hidden.device), rate)
        rows = torch.multinomial(share.cpu(), len(rows), replacement=True, generator=self._generator).to(hidden.device)
        _step(self._control, hidden[rows], label[rows], torch.ones(len(rows), device=hidden.device), rate)

    def state(self) -> dict[str, Tensor]:
        """Return both layers and the differences; not the generator."""
        differences = torch.tensor(list(self._differences), dtype=torch.float64)
        return {"selected": self._selected, "control": self._control, "differences": differences}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        self._selected.copy_(state["selected"])
        self._control.copy_(state["control"])
        self._differences.extend(state["differences"].tolist())

    def gain(self) -> Interval | None:
        """Return the mean difference in loss, control minus selected, in nats; None before two blocks of rounds.

        The margin is Student's for means of blocks of 20 rounds.
        """
        return interval_of(list(self._differences))


def interval_of(values: list[float]) -> Interval | None:
    """Return mean and 95 % interval of a series whose neighbours are alike; None for less than two blocks.

    >>> interval = interval_of([1.0] * 20 + [3.0] * 20)
    >>> interval.mean, round(interval.margin, 3), interval.rounds
    (2.0, 12.706, 40)
    """
    count = len(values) // BLOCK_ROUNDS
    if count < 2:
        return None
    recent = values[len(values) - count * BLOCK_ROUNDS :]
    means = [sum(recent[i : i + BLOCK_ROUNDS]) / BLOCK_ROUNDS for i in range(0, len(recent), BLOCK_ROUNDS)]
    mean = sum(means) / count
    spread = math.sqrt(sum((each - mean) ** 2 for each in means) / (count - 1))
    quantile = _T_975[count - 2] if count - 2 < len(_T_975) else _Z_975
    return Interval(mean, quantile * spread / math.sqrt(count), len(recent))


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits, label, reduction="none")


def _step(weight: Tensor, hidden: Tensor, label: Tensor, sample_weight: Tensor, rate: float) -> None:
    residual = torch.softmax(hidden @ weight.T, dim=1)
    residual[torch.arange(len(label), device=label.device), label] -= 1
    residual *= sample_weight.to(residual.dtype).unsqueeze(1)
    weight.sub_(residual.T @ hidden, alpha=rate / len(label))
