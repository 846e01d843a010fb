"""Where each class lies in feature space, kept while the stream runs."""

from __future__ import annotations

import torch
from torch import Tensor


class ClassStatistics:
    """Per class: mean feature mu_y and mean squared norm q_y = E |f|^2, old rounds fading.

    Means are updated as B. P. Welford does (Technometrics 4 (1962) 419-420), a micro-batch at a time, so
    that no large sum is ever subtracted from another. Each `age` multiplies what has been seen so far by
    `decay`: features move while the model trains. A decay of 1 gives the plain running mean.

    Args:
        class_count: C.
        feature_size: F; zero where no feature is computed.
        decay: in (0, 1].
        device: where features come from.

    Attributes:
        weight: [C] float64, samples seen, faded.
        mean: [C, F] float32, mu_y.
        mean_square: [C] float64, q_y.

    References:
        C. Gong et al., arXiv:2505.16563: representativeness and diversity.

    Example:
        Both scores differ from sample to sample, their sum is the variance of the class.

        >>> statistics = ClassStatistics(class_count=1, feature_size=2, decay=1.0)
        >>> label, feature = torch.tensor([0, 0, 0]), torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 2.0]])
        >>> statistics.update(label, feature)
        >>> statistics.mean.tolist(), round(statistics.mean_square.item(), 4)
        ([[2.0, 1.0]], 10.3333)
        >>> rep, div = statistics.representativeness(label, feature), statistics.diversity(label, feature)
        >>> rep.tolist(), [round(each, 4) for each in div.tolist()]
        ([-5.0, -1.0, -10.0], [10.3333, 6.3333, 15.3333])
        >>> [round(each, 4) for each in (rep + div).tolist()]
        [5.3333, 5.3333, 5.3333]
    """

    def __init__(
        self, class_count: int, feature_size: int, decay: float = 0.9, device: torch.device | str = "cpu"
    ) -> None:
        if not 0 < decay <= 1:
            raise ValueError(f"decay: expected a number in (0, 1], got {decay}")
        self.decay = decay
        self.weight = torch.zeros(class_count, dtype=torch.float64, device=device)
        self.mean = torch.zeros(class_count, feature_size, device=device)
        self.mean_square = torch.zeros(class_count, dtype=torch.float64, device=device)

    def update(self, label: Tensor, feature: Tensor) -> None:
        """Add samples: [N] int64 class ids and [N, F] finite features."""
        feature = feature.to(self.mean.dtype)
        square = feature.square().sum(dim=1).double()
        self.weight.index_add_(0, label, torch.ones_like(square))
        share = 1 / self.weight[label]
        step = (feature - self.mean[label]) * share.to(feature.dtype).unsqueeze(1)
        self.mean.index_add_(0, label, step)
        self.mean_square.index_add_(0, label, (square - self.mean_square[label]) * share)

    def age(self) -> None:
        """End a round: what has been seen counts `decay` times as much from now on."""
        self.weight *= self.decay

    def representativeness(self, label: Tensor, feature: Tensor) -> Tensor:
        """Return -|f - mu_y|^2: [N] float64, at most 0, largest at the centroid of the class."""
        return -(feature.double() - self.mean[label].double()).square().sum(dim=1)

    def diversity(self, label: Tensor, feature: Tensor) -> Tensor:
        """Return the mean squared distance to the class, E_j |f - f_j|^2 = |f|^2 + q_y - 2 <f, mu_y>: [N].

        Notes:
            Diversity and representativeness cancel. With both over the same population,

                Div(f) = |f|^2 + q_y - 2 <f, mu_y> = |f - mu_y|^2 + (q_y - |mu_y|^2) = -Rep(f) + const

            so their sum is the variance of the class, the same for each of its samples, and any other blend
            ranks by the distance to the centroid alone.
        """
        feature, mean = feature.double(), self.mean[label].double()
        return feature.square().sum(dim=1) + self.mean_square[label] - 2 * (feature * mean).sum(dim=1)

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {"weight": self.weight, "mean": self.mean, "mean_square": self.mean_square}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave; a shape that does not fit is a ValueError."""
        for name, tensor in self.state().items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
            tensor.copy_(state[name])
