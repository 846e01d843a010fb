"""An exponential average of the parameters, for evaluation: it removes what the last few steps happened to add."""

from __future__ import annotations

import copy

import torch

from titand.learning.models.split import SplitModel
from titand.learning.state import model_tensors

DECAY = 0.995


class Average:
    """Follows a model: average = d average + (1 - d) values, with d = min(decay, (1 + r) / (10 + r)) in round r.

    The smaller d of the first rounds lets it forget where the model started. Buffers are averaged alike.

    Attributes:
        model: a copy with averaged values.
    """

    def __init__(self, model: SplitModel, decay: float = DECAY) -> None:
        self.model = copy.deepcopy(model)
        self._decay = decay
        self._round = 0
        live, own = model_tensors(model), model_tensors(self.model)
        names = [name for name, tensor in live.items() if tensor.is_floating_point()]
        self._live = [live[name] for name in names]
        self._own = [own[name] for name in names]

    @torch.no_grad()
    def follow(self) -> None:
        """Take in the present values."""
        self._round += 1
        decay = min(self._decay, (1 + self._round) / (10 + self._round))
        torch._foreach_lerp_(self._own, self._live, 1 - decay)
