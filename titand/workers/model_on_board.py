"""The selector's view of the parameters that the trainer publishes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from titand.learning import scoring
from titand.learning.averaging import averaged, served_names
from titand.learning.models.split import SplitModel
from titand.learning.state import Binding, StateLayout, model_tensors
from titand.learning.state import copy as copy_state
from titand.runtime.parameters import ParameterBoard


class ModelOnBoard:
    """A model whose values are a published version, without a copy where it computes on the CPU.

    Args:
        model: on its device; its values come from the board.
        board: where the trainer publishes.
        has_averages: whether averages follow the model's tensors there.
    """

    def __init__(self, model: SplitModel, board: ParameterBoard, has_averages: bool) -> None:
        self.model = model
        self.version = -1
        self.device = next(model.parameters()).device
        self._tensors = model_tensors(model)
        averages = averaged(model) if has_averages else {}
        layout = StateLayout.of({name: tensor.cpu() for name, tensor in {**self._tensors, **averages}.items()})
        slots = [layout.views(board.slot(version)) for version in (0, 1)]
        served = [{name: slot[of] for name, of in served_names(model, slot).items()} for slot in slots]
        self._states = [{name: slot[name] for name in self._tensors} for slot in slots] + served
        self._binding = Binding(self._tensors, self._states) if self.device.type == "cpu" else None
        # The filter goes on after the batch is sent, when the trainer may write over the version that we read. So the
        # first block, a few kilobytes, is copied.
        self._first_block = copy.deepcopy(model.first_block)
        self._portion = 0  # samples that go through it together, once that is known
        model.eval()
        self._first_block.eval()

    def load(self, version: int) -> None:
        """Take over a published version; it must stay unchanged until the batch is handed over."""
        if version == self.version:
            return
        self._take(version % 2)
        copy_state(model_tensors(self.model.first_block), model_tensors(self._first_block))
        self.version = version

    @contextmanager
    def served(self) -> Iterator[None]:
        """Have the values meanwhile that a snapshot of this version holds."""
        self._take(2 + self.version % 2)
        try:
            yield
        finally:
            self._take(self.version % 2)

    def _take(self, state: int) -> None:
        if self._binding is not None:
            self._binding.point(state)
        else:
            copy_state(self._states[state], self._tensors)

    @torch.inference_mode()
    def feature(self, x: Tensor) -> Tensor:
        """Return what the filter looks at, [N, F]."""
        self._portion = self._portion or scoring.portion_of(self._first_block, x)
        return scoring.feature(self._first_block, x, self._portion)
