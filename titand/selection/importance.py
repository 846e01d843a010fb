"""How much a sample moves the model: its last-layer gradient, in closed form, never materialised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LastLayerGradient:
    """Per-sample gradients of the cross-entropy with respect to the last layer.

    For a linear layer the gradient of sample i is the outer product g_i = residual_i hidden_i^T, hence

        |g_i| = |residual_i| |hidden_i|          <g_i, g_j> = (residual_i . residual_j)(hidden_i . hidden_j)

    and no backward pass is needed. A head that mixes its inputs per class (1x1 convolution, ReLU, average
    pool) has row c of its gradient equal to residual_ic hidden_ic, with hidden_ic the mean, over positions,
    of the input where class c's unit was on.

    Attributes:
        residual: [K, C] softmax minus one-hot label.
        hidden: [K, D] input of the last layer, with a 1 appended if the layer has a bias; or [K, C, D], one
            for each class.

    References:
        A. Katharopoulos, F. Fleuret, ICML 2018, arXiv:1803.00942.

    Example:
        >>> gradient = LastLayerGradient(torch.tensor([[-0.6, 0.6]]), torch.tensor([[3.0, 4.0]]))
        >>> round(gradient.norm().item(), 4)  # sqrt(0.72) * 5
        4.2426
    """

    residual: Tensor
    hidden: Tensor

    def norm(self) -> Tensor:
        """Return |g_i|: [K] float64, the sample importance."""
        residual = self.residual.double()
        length = self.hidden.double().norm(dim=-1)  # [K] or [K, C]
        spread: Tensor = (residual * (length if length.dim() == 2 else length.unsqueeze(1))).norm(dim=1)
        return spread

    def gram(self) -> Tensor:
        """Return the inner products <g_i, g_j>: [K, K] float64.

        Float64 on purpose: class importance is the small difference of two large numbers.
        """
        if self.hidden.dim() == 3:
            flat = (self.residual.double().unsqueeze(2) * self.hidden.double()).flatten(1)
            return flat @ flat.T
        residual, hidden = self.residual.double(), self.hidden.double()
        return (residual @ residual.T) * (hidden @ hidden.T)

    def take(self, row: Tensor) -> LastLayerGradient:
        """Return the gradients of some rows only."""
        return LastLayerGradient(self.residual[row], self.hidden[row])


@dataclass(frozen=True)
class Scores:
    """What one forward pass says about K samples.

    Attributes:
        gradient: last-layer gradients.
        loss: [K] cross-entropy with the true label, in nats.
        probability: [K, C] softmax.
        input: [K, ...] the model's inputs, for what compares samples by these; None if not at hand.

    Example:
        >>> gradient = LastLayerGradient(torch.tensor([[0.1], [float("nan")]]), torch.ones(2, 1))
        >>> scores = Scores(gradient, loss=torch.ones(2), probability=torch.ones(2, 1))
        >>> scores.finite().tolist()
        [True, False]
    """

    gradient: LastLayerGradient
    loss: Tensor
    probability: Tensor
    input: Tensor | None = None

    def finite(self) -> Tensor:
        """Return [K] bool on the CPU: rows in which nothing is NaN or infinite."""
        sound = self.gradient.norm().isfinite() & self.loss.isfinite() & self.probability.isfinite().all(dim=1)
        return sound.cpu()

    def take(self, row: Tensor) -> Scores:
        """Return the scores of some rows only."""
        inputs = None if self.input is None else self.input[row]
        return Scores(self.gradient.take(row), self.loss[row], self.probability[row], inputs)


def class_importance(gradient: LastLayerGradient, label: Tensor, class_count: int) -> Tensor:
    """Return how much each class adds to the variance of the batch gradient.

    If the N_y samples of class y are drawn with probability proportional to |g_i|, the spread of one draw is

        I(y) = N_y sqrt( (mean_i |g_i|)^2 - |mean_i g_i|^2 ) = sqrt( (sum_i |g_i|)^2 - |sum_i g_i|^2 )

    which is the root of "variance of the gradient minus variance of its norm" times N_y, and draws in
    proportion to it make the variance of the batch gradient least. `allocation.stratify` does so in whole
    draws, with stage-one weights.

    Args:
        gradient: last-layer gradients of K samples.
        label: [K] int64 class ids.
        class_count: C, with the classes that have no sample now.

    Returns:
        [C] float64, each >= 0; zero where the class has no sample, and where all its gradients are equal:
        one draw then says it all.

    References:
        C. Gong et al., arXiv:2505.16563, Eq. 2 with the factor N_y of the poster (the printed 1/N_y raises
        the variance).

    Example:
        Class 0 repeats one gradient, the two of class 1 cancel, class 2 is absent.

        >>> residual = torch.tensor([[-0.5, 0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, -0.5]])
        >>> hidden = torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
        >>> label = torch.tensor([0, 0, 1, 1])
        >>> importance = class_importance(LastLayerGradient(residual, hidden), label, 3)
        >>> [round(x, 3) for x in importance.tolist()]
        [0.0, 1.414, 0.0]
    """
    member = torch.nn.functional.one_hot(label, class_count).double()  # [K, C]
    norm_sum = member.T @ gradient.norm()
    square_of_sum = torch.diagonal(member.T @ gradient.gram() @ member)
    return (norm_sum.square() - square_of_sum).clamp(min=0).sqrt()
