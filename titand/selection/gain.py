"""What a draw is worth: the variance of the batch gradient, in closed form, against uniform random selection.

All quantities are mean squared errors of the estimated gradient sum of the window, sum_i g_i over its n
samples, taken in the last layer. They need the inner products of the candidates' gradients and nothing else.
What is ignored: the noise of these estimates themselves (they come from the candidates they judge), and that
a systematic draw from a list ordered by class is better still than the formula for a list in random order.

Example:
    Three gradients on a line, one draw. Drawn uniformly, 3 g is off by (-3, -3, 6) from the sum; drawn in proportion
    to the norm, g_i / p_i is the sum whatever is drawn.

    >>> from titand.selection.sampling import design_of
    >>> g = torch.tensor([[1.0], [1.0], [4.0]], dtype=torch.float64)
    >>> whole, gram = torch.ones(3, dtype=torch.float64), g @ g.T
    >>> round(uniform_variance(gram, whole, window_size=3, batch_size=1, added=0.0), 9)
    18.0
    >>> draw_variance(gram, whole, design_of([1.0, 1.0, 1.0], [0, 0, 0], [1]))
    18.0
    >>> draw_variance(gram, whole, design_of([1.0, 1.0, 4.0], [0, 0, 0], [1]))
    0.0

    A filter that kept the last two of four, each for two arrivals, has added 2^2 (1 - 1/2) |4 - 1|^2 / 2 2 = 18.

    >>> stage_variance(gram[1:, 1:], torch.full((2,), 2.0, dtype=torch.float64), torch.zeros(2, dtype=torch.int64))
    18.0
    >>> label = torch.tensor([0, 0, 0])
    >>> candidates = CandidateSet((0, 1, 2), label, whole, torch.tensor([3]))
    >>> round(variance_ratio(candidates, design_of([2.0, 2.0, 4.0], [0, 0, 0], [1]), gram, 1), 6)
    4.5
"""

from __future__ import annotations

import torch
from torch import Tensor

from titand.selection.candidates import CandidateSet
from titand.selection.sampling import Design

_ROUNDING = 1e-9  # of float64, through sums of squares that cancel


def variance_ratio(candidates: CandidateSet, design: Design, gram: Tensor, batch_size: int) -> float | None:
    """Return V_uniform / V_used: how many times less variance this window's batch gradient has.

        V_used = stage_variance + draw_variance

    Both stages count, as does the advantage that uniform selection has from drawing without replacement.
    None where either is zero, or one so small beside the other that rounding made it: nothing to compare.

    Args:
        candidates: K of them.
        design: the chances of each in the draw.
        gram: [K, K] float64, <g_i, g_j>.
        batch_size: rows that the design draws, B.
    """
    group = candidates.label if candidates.by_class else torch.zeros_like(candidates.label)
    added = stage_variance(gram, candidates.stage_weight, group)
    used = added + draw_variance(gram, candidates.stage_weight, design)
    uniform = uniform_variance(gram, candidates.stage_weight, candidates.window_size, batch_size, added)
    return uniform / used if min(uniform, used) > _ROUNDING * max(uniform, used) else None


def stage_variance(gram: Tensor, stage_weight: Tensor, group: Tensor) -> float:
    """Return the variance that the coarse filter added: that of sum_i a_i g_i over its candidates.

    Per group, with k candidates kept with probabilities 1/a_i and c_i = 1 - 1/a_i (J. Hajek's estimator for
    draws of fixed size, Ann. Math. Stat. 35 (1964) 1491-1523):

        k / (k - 1) sum_i c_i |a_i g_i - m|^2        m = sum_i c_i a_i g_i / sum_i c_i

    A group with a single candidate says nothing about its spread and counts as none.

    Args:
        gram: [K, K] float64, <g_i, g_j>.
        stage_weight: [K] float64, a_i >= 1.
        group: [K] int64, what the filter sampled apart: the class of each.
    """
    chance = (1 - 1 / stage_weight).clamp(min=0)
    member = _member(group)
    count, chance_sum = member.sum(dim=0), member.T @ chance
    pull = member * (chance * stage_weight).unsqueeze(1)
    square = member.T @ (chance * stage_weight.square() * gram.diagonal())
    centre = torch.diagonal(pull.T @ gram @ pull)
    spread = (square - centre / chance_sum.clamp(min=1e-300)).clamp(min=0)
    return float((spread * count / (count - 1).clamp(min=1))[count > 1].sum())


def draw_variance(gram: Tensor, stage_weight: Tensor, design: Design) -> float:
    """Return the variance that the draw adds: that of sum_drawn a_i g_i / p_i given the candidates.

    Per stratum of b uncertain draws, y_i = a_i g_i, Y = sum_i y_i over the uncertain rows (H. O. Hartley and
    J. N. K. Rao, Ann. Math. Stat. 33 (1962) 350-374):

        sum_i p_i (1 - (b - 1)/b p_i) |y_i / p_i - Y / b|^2

    With b = 1 that is the exact sum_i |y_i|^2 / p_i - |Y|^2; certain rows add nothing.

    Args:
        gram: [K, K] float64, <g_i, g_j>.
        stage_weight: [K] float64, a_i.
        design: stratum and inclusion probability of each row.
    """
    p = torch.tensor(design.probability, dtype=torch.float64)
    uncertain = p < 1
    if not uncertain.any():
        return 0.0
    p, a, member = p[uncertain], stage_weight[uncertain], _member(torch.tensor(design.stratum)[uncertain])
    gram = gram[uncertain][:, uncertain] * a.unsqueeze(1) * a  # <y_i, y_j>
    count = (member.T @ p).round().clamp(min=1)  # b of each stratum
    share = 1 / (member @ count)  # 1/b of each row's stratum
    factor = p * (1 - (1 - share) * p)
    with_total = ((gram @ member) * member).sum(dim=1)  # <y_i, Y>
    total_square = member @ torch.diagonal(member.T @ gram @ member)  # |Y|^2
    distance = gram.diagonal() / p.square() - 2 * with_total * share / p + total_square * share.square()
    return float((factor * distance.clamp(min=0)).sum())


def uniform_variance(gram: Tensor, stage_weight: Tensor, window_size: float, batch_size: int, added: float) -> float:
    """Return the variance of the estimated sum under B samples drawn uniformly without replacement.

        n^2 (1/B - 1/n) n/(n - 1) (E |g|^2 - |E g|^2)

    with both expectations over the window estimated from the candidates by their stage weights; |E g|^2 is
    corrected by `added`, the `stage_variance`, by which its estimate is too large on average.

    Args:
        gram: [K, K] float64, <g_i, g_j>.
        stage_weight: [K] float64, a_i.
        window_size: n.
        batch_size: B.
        added: the `stage_variance` of the same candidates.

    References:
        W. G. Cochran, Sampling Techniques, 3rd ed., Wiley 1977, chapter 2.
    """
    n = window_size
    if n <= 1 or batch_size >= n:
        return 0.0
    mean_square = float((stage_weight * gram.diagonal()).sum()) / n
    square_of_mean = (float(stage_weight @ gram @ stage_weight) - added) / n**2
    return n**2 * (1 / batch_size - 1 / n) * n / (n - 1) * max(0.0, mean_square - square_of_mean)


def _member(group: Tensor) -> Tensor:
    """Return [K, H] float64, one-hot of each row's group; H is the number of groups that occur."""
    _, dense = torch.unique(group, return_inverse=True)
    return torch.nn.functional.one_hot(dense).double()
