"""Predicting a sample's importance from its first-block feature, before the rest of the model has run."""

from __future__ import annotations

import torch
from torch import Tensor

# The floors that the predictor chooses from, on top of equal sizes. The least one bounds what a sample that looks
# easy and is not can weigh: no size is less than about 1/100 of another.
FLOORS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015)
RECORD_DECAY = 0.98  # a round: the choice rests on about the last 50
MOMENT_DECAY = 0.97  # a round: curvature is that of about the last 30
PRIOR_SAMPLES = 60.0  # that all directions of the feature look alike in, before it is known which are which
STEPS = 3


class EarlyExit:
    """A linear softmax classifier on the feature, taught by the model itself, that says how wrong it looks.

    With e_i = |softmax(W [f_i, 1]) - onehot(y_i)|, an arrival gets the size

        q_i = sqrt(phi^2 + e_i^2) / mean        or 1, as long as that was better

    Sampling in proportion to q has the variance (sum g_i^2 / q_i) (sum q_i) up to what no size changes, g_i being
    the exact importance. So of a few floors phi the one is used for which this product would have been least over
    the last rounds. The candidates that it is measured on were kept in proportion to the sizes of the time, so each
    counts 1 / q_i. A predictor that errs where it is sure makes g^2 / q large and gets a high floor, or no say.

    W takes damped Newton steps towards the model's own probabilities, since that is the residual to be predicted;
    labels alone would teach more than the model knows. The curvature of the softmax is bounded by 1/2 M, M the
    faded second moment of the features, so no step length is needed.

    Args:
        class_count: C.
        feature_size: F.
        device: where features come from.

    References:
        D. Boehning, Ann. Inst. Stat. Math. 44 (1992) 197-200: the bound.

    Example:
        >>> early_exit = EarlyExit(class_count=2, feature_size=1)
        >>> label, feature = torch.tensor([0, 0, 1]), torch.tensor([[1.0], [-1.0], [-1.0]])
        >>> early_exit.size(label, feature).tolist()
        [1.0, 1.0, 1.0]
        >>> probability = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
        >>> for _ in range(99):
        ...     early_exit.learn(label, feature, torch.tensor([0.1, 1.0, 0.1]), probability)
        >>> early_exit.size(label, feature).argmax().item()
        1
    """

    def __init__(self, class_count: int, feature_size: int, device: torch.device | str = "cpu") -> None:
        self._weight = torch.zeros(class_count, feature_size + 1, device=device)
        # Small, and on the CPU: a solver on the accelerator would load a library larger than the model.
        self._moment = torch.zeros(feature_size + 1, feature_size + 1)
        self._samples = torch.zeros((), dtype=torch.float64)  # behind the moment, faded
        # Faded sums over the window of g^2 / q (row 0) and of q (row 1), for equal sizes and then for each floor.
        self._record = torch.zeros(2, 1 + len(FLOORS), dtype=torch.float64)

    @property
    def gain(self) -> float:
        """How many times less variance the sizes would have had than equal ones over the last rounds, >= 1."""
        cost: list[float] = self._record.prod(dim=0).tolist()
        least = cost[self._choice]
        return cost[0] / least if least > 0 else 1.0

    def size(self, label: Tensor, feature: Tensor) -> Tensor:
        """Return the sampling size of arrivals: [N] float64, 1 on average over the last rounds.

        Args:
            label: [N] int64 class ids.
            feature: [N, F], finite.
        """
        choice = self._choice
        if choice == 0:
            return torch.ones(len(label), dtype=torch.float64)
        total = self._record[1]
        return self._sizes(label, feature)[:, choice] * (total[0] / total[choice])

    def learn(self, label: Tensor, feature: Tensor, importance: Tensor, probability: Tensor) -> None:
        """Note what each floor would have cost, then learn to see these candidates as the model does.

        Args:
            label: [K] int64 class ids.
            feature: [K, F], finite.
            importance: [K] exact importance, |g_i|, finite.
            probability: [K, C] the model's softmax, finite.
        """
        sizes = self._sizes(label, feature)
        share = 1 / sizes[:, self._choice]
        share = (share / share.mean()).unsqueeze(1)
        square = importance.double().cpu().square().unsqueeze(1)
        self._record.mul_(RECORD_DECAY).add_(torch.stack([(share * square / sizes).sum(0), (share * sizes).sum(0)]))
        self._approach(_with_one(feature.float().cpu()), probability.float().cpu())

    def _approach(self, x: Tensor, probability: Tensor) -> None:
        """Move the weights towards predicting these probabilities from these features, [K, F + 1]."""
        moment = MOMENT_DECAY * self._moment + x.T @ x
        samples = MOMENT_DECAY * self._samples + len(x)
        prior = PRIOR_SAMPLES * moment.trace() / (samples * len(moment))
        factor, failed = torch.linalg.cholesky_ex(0.5 * (moment + prior * torch.eye(len(moment))))
        if failed or not factor.isfinite().all():  # features so large that their squares overflow
            return
        self._moment, self._samples = moment, samples
        weight = self._weight.cpu()
        for _ in range(STEPS):
            residual = (x @ weight.T).softmax(dim=1) - probability
            weight = weight - torch.cholesky_solve(x.T @ residual, factor).T
        self._weight.copy_(weight)

    @property
    def _choice(self) -> int:
        """The column of least cost; the first of equal ones."""
        cost: list[float] = self._record.prod(dim=0).tolist()
        return cost.index(min(cost))

    def _sizes(self, label: Tensor, feature: Tensor) -> Tensor:
        """Return the size of each sample under each choice, equal sizes first: [N, 1 + floors] float64."""
        probability = (_with_one(feature) @ self._weight.T).softmax(dim=1)
        residual = probability - torch.nn.functional.one_hot(label, probability.shape[1])
        square = residual.square().sum(dim=1, keepdim=True).double().cpu()
        floor = torch.tensor(FLOORS, dtype=torch.float64)
        return torch.cat([torch.ones_like(square), (floor.square() + square).sqrt()], dim=1)

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {"weight": self._weight, "moment": self._moment, "samples": self._samples, "record": self._record}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave; a shape that does not fit is a ValueError."""
        for name, tensor in self.state().items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
            tensor.copy_(state[name])


def _with_one(feature: Tensor) -> Tensor:
    return torch.cat([feature, torch.ones_like(feature[:, :1])], dim=1)
