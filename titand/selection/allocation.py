"""Splitting the batch among classes: who gets a stratum of its own, and how many draws."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


def allocate(variance: Sequence[float], available: Sequence[int], budget: int) -> list[int]:
    """Split `budget` draws among strata so that sum_h variance_h / draws_h is least.

    Every stratum gets one draw; each further one goes where it helps most, which is the stratum with the
    largest variance_h (1/b_h - 1/(b_h + 1)). That greedy rule is exact for whole draws, because each term
    is convex in b_h; rounding the proportional shares is not.

    Args:
        variance: [H] variance of the estimate from a single draw, each >= 0.
        available: [H] candidates of each stratum, each >= 1; a stratum gets no more draws.
        budget: draws in the batch.

    Returns:
        [H] draws of each stratum, min(budget, sum(available)) in all.

    Raises:
        ValueError: fewer draws than strata: some stratum could never be seen.

    References:
        T. Wright, The American Statistician 66 (2012) 217-224.

    Example:
        >>> allocate([9.0, 1.0, 0.0], available=[10, 10, 10], budget=6)
        [4, 1, 1]
        >>> allocate([9.0, 1.0, 0.0], available=[2, 10, 10], budget=6)
        [2, 3, 1]
    """
    if budget < len(variance):
        raise ValueError(f"{budget} draws cannot cover {len(variance)} strata")
    draws = [1] * len(variance)
    queue = [(-v / 2, h) for h, v in enumerate(variance) if available[h] > 1]
    heapq.heapify(queue)
    for _ in range(min(budget, sum(available)) - len(draws)):
        _, h = heapq.heappop(queue)
        draws[h] += 1
        if draws[h] < available[h]:
            heapq.heappush(queue, (-variance[h] / (draws[h] * (draws[h] + 1)), h))
    return draws


@dataclass(frozen=True)
class Strata:
    """How a batch is split.

    Attributes:
        members: class ids of each stratum; one class each, but for the last, which may pool several.
        draws: draws of each stratum, each >= 1.
        variance: variance of the estimated total from a single draw, of each stratum.
    """

    members: tuple[tuple[int, ...], ...]
    draws: tuple[int, ...]
    variance: tuple[float, ...]


def stratify(total: Sequence[float], gram: Sequence[Sequence[float]], available: Sequence[int], budget: int) -> Strata:
    """Choose which classes stand alone and which are pooled, and the draws of each, for the least variance.

    Drawing one item of a stratum with probability u_i / U in proportion to its size u_i = |y_i|, and
    estimating the sum of the y_i from it, has the variance

        V = (sum_i u_i)^2 - |sum_i y_i|^2

    and sqrt(V) is the class importance. The classes are sorted by sum u; for every cut the classes before
    it stand alone and those behind it are one pooled stratum; `allocate` splits the draws; the cut with the
    least sum V / draws wins. So there may be more classes than draws, and each class keeps a positive chance.

    Args:
        total: [A] sum of the sizes of each class that has candidates.
        gram: [A][A] inner products of the classes' summed gradients, <sum_i y_i, sum_j y_j>.
        available: [A] candidates of each class, each >= 1.
        budget: draws in the batch, >= 1.

    References:
        C. Gong et al., arXiv:2505.16563: draws by class importance.
        J. Neyman, J. R. Stat. Soc. 97 (1934) 558-625.

    Example:
        Equal sizes, but the gradients of class 0 all agree and those of class 1 cancel.

        >>> strata = stratify([4.0, 4.0], [[16.0, 0.0], [0.0, 0.0]], available=[4, 4], budget=4)
        >>> strata.members, strata.draws
        (((0,), (1,)), (1, 3))
    """
    order = sorted(range(len(total)), key=lambda y: -total[y])
    best: tuple[float, Strata] | None = None
    # Backwards, so that the pooled stratum grows by one class a step.
    pooled_total, pooled_square, pooled_available = 0.0, 0.0, 0
    for cut in range(len(order) - 1, -1, -1):
        y = order[cut]
        pooled_total += total[y]
        pooled_square += gram[y][y] + 2 * sum(gram[y][z] for z in order[cut + 1 :])
        pooled_available += available[y]
        if cut >= budget:
            continue
        variance = [max(0.0, total[z] ** 2 - gram[z][z]) for z in order[:cut]]
        variance.append(max(0.0, pooled_total**2 - pooled_square))
        draws = allocate(variance, [available[z] for z in order[:cut]] + [pooled_available], budget)
        loss = sum(v / b for v, b in zip(variance, draws, strict=True))
        if best is None or loss < best[0]:
            members = (*((z,) for z in order[:cut]), tuple(order[cut:]))
            best = loss, Strata(members, tuple(draws), tuple(variance))
    if best is None:
        raise ValueError("nothing to stratify: no class has a candidate, or the budget is zero")
    return best[1]
