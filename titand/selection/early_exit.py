"""Predicting a sample's importance from its first-block feature, before the rest of the model has run."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_TRUST = 0.8  # even a perfect record leaves each sample a fifth of the uniform chance
RECORD_DECAY = 0.9  # per round: correlation is measured over about the last ten rounds
LEARNING_RATE = 0.5  # of the mean squared feature norm; 2 is where least mean squares diverges


class EarlyExit:
    """A linear softmax classifier on the feature, whose residual norm |p - onehot(y)| predicts |g|.

    Samples get the size

        q_i = (1 - s) + s e_i / mean(e)          e_i = |softmax(W [f_i, 1]) - onehot(y_i)|

    where s is the correlation between predicted and exact importance over the last rounds, within [0, 0.8]:
    an untrained or useless predictor has no say.

    Args:
        class_count: C.
        feature_size: F.
        device: where features come from.
    """

    def __init__(self, class_count: int, feature_size: int, device: torch.device | str = "cpu") -> None:
        self._weight = torch.zeros(class_count, feature_size + 1, device=device)
        # Faded sums over (prediction, importance): 1, e, g, e^2, g^2, e g.
        self._record = torch.zeros(6, dtype=torch.float64)
        # Faded sums over arrivals: 1, e.
        self._arrived = torch.zeros(2, dtype=torch.float64)

    @property
    def trust(self) -> float:
        """How much say the prediction has: s."""
        n, e, g, ee, gg, eg = self._record.tolist()
        spread = (n * ee - e * e) * (n * gg - g * g)
        if n == 0 or spread <= 1e-12 * (n * ee) * (n * gg):
            return 0.0
        return float(min(MOST_TRUST, max(0.0, (n * eg - e * g) / spread**0.5)))

    def size(self, label: Tensor, feature: Tensor) -> Tensor:
        """Return the sampling size of arrivals: [N] float64, each >= 1 - s."""
        prediction = self._residual(label, feature).norm(dim=1).double().cpu()
        self._arrived += torch.stack([torch.tensor(float(len(label)), dtype=torch.float64), prediction.sum()])
        trust = self.trust
        count, total = self._arrived.tolist()
        return (1 - trust) + trust * prediction * (count / total) if total > 0 else torch.ones_like(prediction)

    def learn(self, label: Tensor, feature: Tensor, importance: Tensor) -> None:
        """Note how well importance was predicted, then take one step of gradient descent.

        Args:
            label: [K] int64 class ids of the candidates.
            feature: [K, F].
            importance: [K] exact importance, |g_i|.
        """
        residual = self._residual(label, feature)
        e, g = residual.norm(dim=1).double().cpu(), importance.double().cpu()
        moments = torch.stack([torch.ones_like(e), e, g, e * e, g * g, e * g]).sum(dim=1)
        self._record.mul_(RECORD_DECAY).add_(moments)
        self._arrived *= RECORD_DECAY
        energy = feature.square().sum(dim=1).mean() + 1
        step = LEARNING_RATE / (energy * len(label))
        self._weight[:, :-1] -= step * (residual.T @ feature)
        self._weight[:, -1] -= step * residual.sum(dim=0)

    def _residual(self, label: Tensor, feature: Tensor) -> Tensor:
        probability = (feature @ self._weight[:, :-1].T + self._weight[:, -1]).softmax(dim=1)
        return probability - torch.nn.functional.one_hot(label, probability.shape[1])

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {"weight": self._weight, "record": self._record, "arrived": self._arrived}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        for name, tensor in self.state().items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
            tensor.copy_(state[name])
