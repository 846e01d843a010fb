"""A model's state as one flat run of bytes: parameters, buffers and optimizer tensors, each at a fixed offset.

The bytes may be shared memory, a file or a bytearray; tensors over them are views, nothing is copied. The
model's tensors come first, in the order of its `state_dict`, so the state of the model alone is a prefix of the state
of its training: who only scores lays out the model, who trains lays out everything, and both read the same bytes.

Two states of the same layout are copied fastest as bytes: `memoryview(target)[:] = source`.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap

import torch
from torch import Tensor, nn

from titand.errors import ModelError

ALIGNMENT_BYTES = 64  # one cache line, and the widest vector register


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies in the flat state."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int

    @property
    def size_bytes(self) -> int:
        """Bytes without padding."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class StateLayout:
    """Names, shapes, types and 64-byte aligned offsets of all tensors in a flat state."""

    entries: tuple[Entry, ...]
    size_bytes: int

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> StateLayout:
        """Return the layout of named tensors, in their order.

        >>> layout = StateLayout.of({"weight": torch.zeros(3, 2), "count": torch.tensor(0)})
        >>> [(e.name, e.offset) for e in layout.entries], layout.size_bytes
        ([('weight', 0), ('count', 64)], 128)
        """
        entries, offset = [], 0
        for name, tensor in tensors.items():
            entry = Entry(name, tuple(tensor.shape), tensor.dtype, offset)
            entries.append(entry)
            offset = _aligned(offset + entry.size_bytes)
        return cls(tuple(entries), offset)

    def views(self, buffer: bytearray | memoryview | mmap) -> dict[str, Tensor]:
        """Return the named tensors over these bytes, without copying.

        Views of read-only memory can be read like any tensor; writing to them ends the process, as it must.

        Raises:
            ModelError: the buffer is smaller than the state.
        """
        if len(buffer) < self.size_bytes:
            raise ModelError(
                "MODEL_STATE_MISMATCH",
                f"The state takes {self.size_bytes} bytes, the buffer has {len(buffer)}.",
                "It was written for another model or optimizer.",
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            flat = torch.frombuffer(buffer, dtype=torch.uint8, count=self.size_bytes)
        return {
            entry.name: flat[entry.offset : entry.offset + entry.size_bytes].view(entry.dtype).view(entry.shape)
            for entry in self.entries
        }


class Binding:
    """Points live tensors at one of several states, and at another one, in microseconds.

    Retargeting changes where a tensor's values lie, not which tensor it is: models and optimizers notice nothing. All
    names are resolved here, once, so that `point` is one assignment per tensor.

    Args:
        tensors: the live tensors by name, e.g. `model_tensors(model)` or `Learner.tensors()`.
        states: views of equal layout that hold at least these names.

    Raises:
        ModelError: a state lacks a tensor, or has it in another shape or type.
    """

    def __init__(self, tensors: Mapping[str, Tensor], states: Sequence[Mapping[str, Tensor]]) -> None:
        for state in states:
            require_same(tensors, state)
        self._tensors = list(tensors.values())
        self._states = [[state[name] for name in tensors] for state in states]

    def point(self, index: int) -> None:
        """Let the tensors have their values in state `index` from now on."""
        for tensor, view in zip(self._tensors, self._states[index], strict=True):
            tensor.data = view


def bind(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Point live tensors at one state for good."""
    Binding(tensors, [state]).point(0)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's live parameters and buffers, named as in its `state_dict`."""
    return dict(model.state_dict(keep_vars=True))


@torch.no_grad()
def copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy all tensors of `source` into those of `target` that have the same name.

    Raises:
        ModelError: `target` lacks a tensor, or has it in another shape or type.
    """
    require_same(source, target)
    by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for name, tensor in source.items():
        sources, targets = by_type[tensor.dtype]
        sources.append(tensor)
        targets.append(target[name])
    for sources, targets in by_type.values():
        torch._foreach_copy_(targets, sources)


def require_same(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Check that `state` has every one of `tensors`, in its shape and type."""
    for name, tensor in tensors.items():
        if name not in state:
            raise ModelError("MODEL_STATE_MISMATCH", f"The state has no tensor {name!r}.")
        if state[name].shape != tensor.shape or state[name].dtype != tensor.dtype:
            raise ModelError(
                "MODEL_STATE_MISMATCH",
                f"{name} is {tensor.dtype} {list(tensor.shape)} in the model"
                f" and {state[name].dtype} {list(state[name].shape)} in the state.",
            )


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
