"""Samples in the arena as tensors: gathered by slot, normalised on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from titand.learning.preprocess import Preprocess
from titand.records import ModelSpec
from titand.runtime.arena import Arena

_TYPES = {"uint8": torch.uint8, "int16": torch.int16, "float16": torch.float16, "float32": torch.float32}


class SampleReader:
    """Reads samples out of the arena for a model.

    Args:
        arena: holds the raw samples.
        spec: says what the bytes mean and how they are normalised.
        device: where the model computes.
    """

    def __init__(self, arena: Arena, spec: ModelSpec, device: torch.device) -> None:
        self._arena = arena
        self._device = device
        self.class_count = spec.class_count
        self._preprocess = Preprocess(spec).to(device)
        count = arena.layout.slot_count
        self._raw = torch.frombuffer(
            arena.memory,
            dtype=_TYPES[spec.input.data_type],
            count=count * spec.input.item_count,
            offset=arena.data_offset,
        ).view(count, *spec.input.shape)

    def inputs(self, slots: Sequence[int]) -> Tensor:
        """Return [N, *shape] normalised float32 on the device. Raw bytes cross to the device, not floats."""
        return self.normalised(self.raw(slots))

    def raw(self, slots: Sequence[int]) -> Tensor:
        """Return a copy [N, *shape] of the samples as they were pushed, on the CPU."""
        return self._raw[torch.tensor(slots)]

    def normalised(self, raw: Tensor) -> Tensor:
        """Return [N, *shape] float32 on the device."""
        normalised: Tensor = self._preprocess(raw.to(self._device))
        return normalised

    def labels(self, slots: Sequence[int]) -> Tensor:
        """Return [N] int64 class ids, on the CPU."""
        return torch.tensor([self._arena.label[slot] for slot in slots])

    def numbers(self, slots: Sequence[int]) -> list[int]:
        """Return the numbers that the samples were given when they were accepted."""
        return [self._arena.number[slot] for slot in slots]
