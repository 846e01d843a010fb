"""What a window leaves for fine selection."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class CandidateSet:
    """The candidates of a closed window, and what they stand for.

    Attributes:
        key: [K] the caller's handles, arena slots for instance.
        label: [K] int64 class ids.
        stage_weight: [K] float64, a_i = 1 / probability that the coarse filter kept the sample, so that
            sum_i a_i f_i over the candidates estimates the sum of any f over the window without bias.
        class_count: [C] int64, arrivals of each class in the window, n_y.
        by_class: whether the coarse filter sampled each class apart, and so kept its total.

    Example:
        >>> import torch
        >>> weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
        >>> candidates = CandidateSet((5, 9), torch.tensor([0, 1]), weight, torch.tensor([1, 3]))
        >>> candidates.window_size
        4
        >>> rest = candidates.take(torch.tensor([1]))
        >>> rest.key, rest.stage_weight.tolist()
        ((9,), [4.0])
    """

    key: tuple[int, ...]
    label: Tensor
    stage_weight: Tensor
    class_count: Tensor
    by_class: bool = True

    @property
    def window_size(self) -> int:
        """Samples that arrived in the window, n."""
        return int(self.class_count.sum())

    def take(self, row: Tensor) -> CandidateSet:
        """Return some candidates only; they take over, in equal parts, what the others stood for."""
        stage_weight = self.stage_weight[row]
        stage_weight = stage_weight * (self.stage_weight.sum() / stage_weight.sum())
        key = tuple(self.key[i] for i in row.tolist())
        return CandidateSet(key, self.label[row], stage_weight, self.class_count, self.by_class)
