"""Predicting a sample's importance from its first-block feature, before the rest of the model has run."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_TRUST = 0.96  # even a perfect record leaves a sample that looks easy the size 0.2
RECORD_DECAY = 0.9  # a round: the record covers about the last ten
# In units of the mean squared feature norm, in which the curvature of a softmax is at most 1/2: it cannot diverge
# below 4. Three steps on each round's candidates leave half the error of one; ten are no better.
LEARNING_RATE = 1.0
STEPS = 3


class EarlyExit:
    """A linear softmax classifier on the feature, whose residual predicts how large the gradient will be.

    With e_i = |softmax(W [f_i, 1]) - onehot(y_i)|, an arrival gets the size

        q_i^2 = (1 - s) + s e_i^2 / mean(e^2)        s = cov(e^2, g^2) / var(e^2) * mean(e^2) / mean(g^2)

    That is the least-squares line of squared importance on e^2, in units of the mean: the size of least variance
    is the root of the expected squared importance. s, within [0, 0.96], is the share of importance that
    follows the prediction over the last rounds; an untrained or useless predictor has none, and all sizes are 1.
    Selecting by e leaves the line unbiased, which a correlation would not be.

    Args:
        class_count: C.
        feature_size: F.
        device: where features come from.

    Example:
        >>> early_exit = EarlyExit(class_count=2, feature_size=1)
        >>> label, feature = torch.tensor([0, 0, 1]), torch.tensor([[1.0], [-1.0], [-1.0]])
        >>> early_exit.size(label, feature).tolist()
        [1.0, 1.0, 1.0]
        >>> for _ in range(9):
        ...     early_exit.learn(label, feature, importance=torch.tensor([1.0, 9.0, 1.0]))
        >>> early_exit.size(label, feature).argmax().item()
        1
    """

    def __init__(self, class_count: int, feature_size: int, device: torch.device | str = "cpu") -> None:
        self._weight = torch.zeros(class_count, feature_size + 1, device=device)
        # Faded sums over candidates of 1, e^2, g^2, e^4, e^2 g^2.
        self._record = torch.zeros(5, dtype=torch.float64)

    @property
    def trust(self) -> float:
        """How much of the importance follows the prediction, s."""
        n, e2, g2, e4, e2g2 = self._record.tolist()
        spread = n * e4 - e2 * e2
        if g2 <= 0 or spread <= 1e-9 * n * e4:
            return 0.0
        slope = (n * e2g2 - e2 * g2) / spread
        return float(min(MOST_TRUST, max(0.0, slope * e2 / g2)))

    def size(self, label: Tensor, feature: Tensor) -> Tensor:
        """Return the sampling size of arrivals: [N] float64, each >= 0.2.

        Args:
            label: [N] int64 class ids.
            feature: [N, F], finite.
        """
        trust = self.trust
        if trust == 0:
            return torch.ones(len(label), dtype=torch.float64)
        square = self._residual(label, feature).square().sum(dim=1).double().cpu()
        mean = self._record[1] / self._record[0]
        return ((1 - trust) + trust * square / mean).sqrt()

    def learn(self, label: Tensor, feature: Tensor, importance: Tensor) -> None:
        """Note how well importance was predicted, then learn to tell the classes from these candidates.

        Args:
            label: [K] int64 class ids.
            feature: [K, F], finite.
            importance: [K] exact importance, |g_i|, finite.
        """
        residual = self._residual(label, feature)
        e2, g2 = residual.square().sum(dim=1).double().cpu(), importance.double().cpu().square()
        moments = torch.stack([torch.ones_like(e2), e2, g2, e2 * e2, e2 * g2]).sum(dim=1)
        self._record.mul_(RECORD_DECAY).add_(moments)
        energy = feature.square().sum(dim=1).mean() + 1
        for _ in range(STEPS):
            step = LEARNING_RATE / (energy * len(label)) * residual
            self._weight[:, :-1] -= step.T @ feature
            self._weight[:, -1] -= step.sum(dim=0)
            residual = self._residual(label, feature)

    def _residual(self, label: Tensor, feature: Tensor) -> Tensor:
        probability = (feature @ self._weight[:, :-1].T + self._weight[:, -1]).softmax(dim=1)
        return probability - torch.nn.functional.one_hot(label, probability.shape[1])

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {"weight": self._weight, "record": self._record}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave; a shape that does not fit is a ValueError."""
        for name, tensor in self.state().items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
            tensor.copy_(state[name])
