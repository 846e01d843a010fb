"""From curves to figures with intervals: final accuracy, rounds to a target, ratios paired by seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 5  # points of a curve that its value at a round is the mean of
RESAMPLES = 2000

# Two-sided 95 % quantiles of Student's t, for 1 to 30 degrees of freedom.
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip

Curves = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def t_interval(values: Sequence[float]) -> Estimate:
    """Return the mean and its 95 % interval by Student's t; of a single value nothing is known, the interval is all.

    >>> str(t_interval([1.0, 2.0, 3.0]))
    '2.00 (-0.48 to 4.48)'
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, -np.inf, np.inf)
    half = T_95[min(len(values) - 1, len(T_95)) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def smoothed(curves: Curves) -> Curves:
    """Return trailing means over up to `SMOOTHING` points: [S, P] -> [S, P].

    >>> smoothed(np.array([[1.0, 3.0, 5.0]])).tolist()
    [[1.0, 2.0, 3.0]]
    """
    padded = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    end = np.arange(1, curves.shape[1] + 1)
    start = np.maximum(0, end - SMOOTHING)
    result: Curves = (padded[:, end] - padded[:, start]) / (end - start)
    return result


def crossing(curve: NDArray[np.float64], target: float) -> float:
    """Return how far along a curve it first reaches a target, as a share of its length; 1 if it never does.

    >>> crossing(np.array([10.0, 20.0, 30.0, 40.0]), 25.0), crossing(np.array([10.0, 20.0]), 25.0)
    (0.75, 1.0)
    """
    reached = np.flatnonzero(curve >= target)
    return float(reached[0] + 1) / len(curve) if len(reached) else 1.0


def shares_to_target(method: Curves, reference: Curves, at: float = 1.0) -> tuple[float, float]:
    """Return the shares of the run after which the mean curves of two methods reach what the reference has at `at`.

    Args:
        method: [S, P] smoothed curves, one for each seed.
        reference: [S, P] likewise, of the method that sets the target.
        at: share of the run at which it sets it; 1 for its final accuracy.
    """
    mean = reference.mean(axis=0)
    target = float(mean[round(at * len(mean)) - 1])
    return crossing(method.mean(axis=0), target), crossing(mean, target)


def ratio_to_target(method: Curves, reference: Curves, at: float = 1.0, seed: int = 0) -> Estimate:
    """Return rounds to the reference's accuracy at `at` over the rounds that the reference itself takes.

    The interval is of a paired bootstrap: seeds are drawn with replacement, for both methods alike, and target and
    crossings are computed anew (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993).

    Args:
        method: [S, P] smoothed curves; row s is of the same seed as row s of `reference`.
        reference: [S, P].
        at: share of the run at which the reference sets the target.
        seed: of the resampling.
    """
    generator = np.random.default_rng(seed)
    own, of_reference = shares_to_target(method, reference, at)
    ratios = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(len(method), size=len(method))
        a, b = shares_to_target(method[drawn], reference[drawn], at)
        ratios.append(a / b)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Estimate(own / of_reference, float(low), float(high))


def difference(method: Curves, reference: Curves) -> Estimate:
    """Return how much higher the final accuracy is, paired by seed."""
    return t_interval((method[:, -1] - reference[:, -1]).tolist())
