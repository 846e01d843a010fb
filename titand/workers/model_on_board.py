"""The selector's view of the parameters that the trainer publishes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from titand.learning import scoring
from titand.learning.models.split import SplitModel
from titand.learning.state import Binding, StateLayout, model_tensors
from titand.learning.state import copy as copy_state
from titand.runtime.parameters import ParameterBoard


class ModelOnBoard:
    """A model whose values are a published version, without a copy where it computes on the CPU."""

    def __init__(self, model: SplitModel, board: ParameterBoard) -> None:
        self.model = model
        self.version = -1
        tensors = model_tensors(model)
        layout = StateLayout.of({name: tensor.cpu() for name, tensor in tensors.items()})
        self._views = [layout.views(board.slot(version)) for version in (0, 1)]
        self.device = next(model.parameters()).device
        self._tensors = tensors
        self._binding = Binding(tensors, self._views) if self.device.type == "cpu" else None
        # The filter goes on after the batch is sent, when the trainer may write over the version that we read. So the
        # first block, a few kilobytes, is copied.
        self._first_block = copy.deepcopy(model.first_block)
        model.eval()
        self._first_block.eval()

    def load(self, version: int) -> None:
        """Take over a published version; it must stay unchanged until the batch is handed over."""
        if version == self.version:
            return
        if self._binding is not None:
            self._binding.point(version % 2)
        else:
            copy_state(self._views[version % 2], self._tensors)
        copy_state(model_tensors(self.model.first_block), model_tensors(self._first_block))
        self.version = version

    @torch.inference_mode()
    def feature(self, x: Tensor) -> Tensor:
        """Return what the filter looks at, [N, F]."""
        return scoring.condensed(self._first_block(x))
