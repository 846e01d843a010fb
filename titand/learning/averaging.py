"""An exponential average of the parameters, which forgets what the last few steps happened to add."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from titand.learning.state import model_tensors

PREFIX = "average/"  # of a tensor's name, for that of its average


class Average:
    """Follows a model while it is trained.

        average <- d average + (1 - d) value        d = min(decay, (1 + r) / (10 + r)) in round r

    The smaller d of the first rounds lets it forget where the model started. Buffers that hold fractions, such as
    BatchNorm's running statistics, are averaged alike.

    Args:
        model: its values are where the average starts.
        decay: d, in (0, 1).

    Attributes:
        tensors: the averages, named as those of the model with `PREFIX` before.

    References:
        B. T. Polyak, A. B. Juditsky, SIAM J. Control Optim. 30 (1992) 838-855, for the plain average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        live = averaged(model)
        self.tensors = {name: tensor.detach().clone() for name, tensor in live.items()}
        self._live = list(live.values())
        self._own = list(self.tensors.values())
        self._decay = decay

    @torch.no_grad()
    def follow(self, round: int) -> None:
        """Take in the values after a round, from 1."""
        decay = min(self._decay, (1 + round) / (10 + round))
        torch._foreach_lerp_(self._own, self._live, 1 - decay)


def averaged(model: nn.Module) -> dict[str, Tensor]:
    """Return the live tensors that an average follows, by the names of their averages."""
    return {PREFIX + name: tensor for name, tensor in model_tensors(model).items() if tensor.is_floating_point()}


def served_names(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return, for each tensor of a model, which of these names holds what is evaluated and served.

    >>> served_names(nn.Linear(1, 1), ["weight", "bias", "average/weight"])
    {'weight': 'average/weight', 'bias': 'bias'}
    """
    known = set(names)
    return {name: PREFIX + name if PREFIX + name in known else name for name in model_tensors(model)}
