"""How far the batch's gradient is from that of the window it stands for."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.variance.methods import Estimator, Method
from benchmarks.variance.trace import Trace


@dataclass(frozen=True)
class Error:
    """Mean squared errors of one method on one trace, relative to uniform random selection on the same windows.

    Attributes:
        mean: over all windows and draws: sum of the method's over sum of RS's.
        median: over windows, of the window's own ratio.
        whole_mean: like `mean`, for the gradient by all parameters; None where that was not recorded.
    """

    mean: float
    median: float
    whole_mean: float | None


def relative_error(
    method: Method, trace: Trace, batch_size: int = 10, capacity: int = 30, draws: int = 10, seed: int = 0
) -> Error:
    """Measure a method.

    With c the coefficients of a draw and G the inner products of the window's gradients, the squared error is
    (c - 1/n)' G (c - 1/n). RS is not drawn but known:

        E |error|^2 = (1/B - 1/n) / (n - 1) * sum_i |g_i - mean g|^2
    """
    estimator = Estimator(method, trace, batch_size, capacity, seed)
    own: list[float] = []
    of_rs: list[float] = []
    whole: list[float] = []
    whole_of_rs: list[float] = []
    for window in trace.at:
        distance = torch.stack([estimator.coefficients(window) for _ in range(draws)]) - 1 / len(window.label)
        gram = window.gradient.gram()
        own.append(squared_error(distance, gram))
        of_rs.append(uniform_error(gram, batch_size))
        if len(window.whole_gram):
            whole.append(squared_error(distance, window.whole_gram))
            whole_of_rs.append(uniform_error(window.whole_gram, batch_size))
    # A window that a model has learned by heart has no error to compare.
    ratios = [a / b for a, b in zip(own, of_rs, strict=True) if b > 0]
    return Error(sum(own) / sum(of_rs), statistics.median(ratios), sum(whole) / sum(whole_of_rs) if whole else None)


def squared_error(distance: Tensor, gram: Tensor) -> float:
    """Return the mean over draws of d' G d: [draws, n], [n, n]."""
    return float(torch.einsum("di,ij,dj->d", distance, gram, distance).mean())


def uniform_error(gram: Tensor, batch_size: int) -> float:
    """Return the expected squared error of the mean of B samples drawn uniformly without replacement."""
    n = len(gram)
    scatter = float(gram.diagonal().sum() - gram.sum() / n)
    return (1 / batch_size - 1 / n) / (n - 1) * max(0.0, scatter)
