"""Samples that were trained on, kept to be trained on again when their class has not come for a while."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_EXPECTED = 5  # a class counts as absent when a balanced stream would have brought so many of it


class Replay:
    """A reservoir of trained samples, balanced by class, and when to go back to it.

    A model that is trained on some classes alone forgets the others. So each batch gets some samples of the classes
    that are absent: not trained on for 5 C / B rounds, which chance makes of a class of a balanced stream with
    probability exp(-5). In a stream that brings all classes there is nothing to replay, and nothing is paid.

    Each class's samples are a uniform sample of all that were trained on (Vitter's algorithm R). When there are too
    many, the class with the most gives one up, at random. A successor begins with none.

    Args:
        capacity: most samples kept, raw.
        share: of a batch, at most.
        class_count: C.
        batch_size: B.
        generator: of the choices.

    References:
        J. S. Vitter, ACM Trans. Math. Software 11 (1985) 37-57; A. Chaudhry et al., On tiny episodic memories in
        continual learning, arXiv:1902.10486 (2019), for what a small reservoir does against forgetting.
    """

    def __init__(
        self, capacity: int, share: float, class_count: int, batch_size: int, generator: torch.Generator
    ) -> None:
        self._capacity = capacity
        self._count = round(batch_size * share / (1 - share))
        self._patience = math.ceil(_EXPECTED * class_count / batch_size)
        self._generator = generator
        self._kept: list[list[Tensor]] = [[] for _ in range(class_count)]
        self._seen = [0] * class_count
        self._last_round = [0] * class_count

    def __len__(self) -> int:
        return sum(map(len, self._kept))

    def draw(self, round: int) -> tuple[Tensor, Tensor] | None:
        """Return samples of absent classes, raw [R, *shape] and labels [R]; None while all classes come."""
        absent = [
            label for label, kept in enumerate(self._kept) if kept and round - self._last_round[label] > self._patience
        ]
        if not absent or self._count == 0:
            return None
        labels = [absent[self._below(len(absent))] for _ in range(self._count)]
        picked = [self._kept[label][self._below(len(self._kept[label]))] for label in labels]
        return torch.stack(picked), torch.tensor(labels)

    def keep(self, raw: Tensor, label: Tensor, round: int) -> None:
        """Take the samples of a batch, raw [B, *shape] and labels [B]; those that were replayed are not among them."""
        for sample, each in zip(raw, label.tolist(), strict=True):
            self._last_round[each] = round
            self._seen[each] += 1
            own = self._kept[each]
            fullest = max(self._kept, key=len)
            if len(self) < self._capacity:
                own.append(sample.clone())
            elif len(own) < len(fullest):
                del fullest[self._below(len(fullest))]
                own.append(sample.clone())
            elif (place := self._below(self._seen[each])) < len(own):
                own[place] = sample.clone()

    def _below(self, most: int) -> int:
        return int(torch.randint(most, (), generator=self._generator))
