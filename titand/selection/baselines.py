"""What others select by, each as its authors define it, behind the interface of `selector.Selector`.

They are defined on a whole window: let the coarse filter keep all of it to compare as published. Behind a
filter, sums over the window become sums with the stage weights a_i, which are 1 for a whole window. Ties are
broken at random. Weights are 1 unless a method has its own. Shapes are those of `Selector.select`.

Example:
    Four samples of two classes: the first is learned, the second is in doubt, the third is taken for the other class.

    >>> from titand.selection.importance import LastLayerGradient
    >>> label = torch.tensor([0, 0, 1, 1])
    >>> probability = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    >>> loss = -probability[torch.arange(4), label].log()
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [3.0, 0.0]])
    >>> gradient = LastLayerGradient(probability - torch.nn.functional.one_hot(label), x)
    >>> candidates = CandidateSet((7, 8, 9, 10), label, torch.ones(4, dtype=torch.float64), torch.tensor([2, 2]))
    >>> for method in (low_loss, high_loss, uncertain, high_importance, online_coreset, camel):
    ...     draw = method(candidates, Scores(gradient, loss, probability, input=x), 1, torch.Generator())
    ...     print(method.__name__, draw.index.tolist(), draw.sample_weight.tolist())
    low_loss [0] [1.0]
    high_loss [2] [1.0]
    uncertain [1] [1.0]
    high_importance [2] [1.0]
    online_coreset [2] [1.0]
    camel [1] [0.5]
    >>> [round(size, 3) for size in gradient.norm().tolist()]  # what IS draws in proportion to
    [0.141, 0.566, 1.6, 1.273]
    >>> scores = Scores(gradient, loss, probability)
    >>> draw = ISSelector().select(candidates, scores, 1, torch.Generator().manual_seed(1))
    >>> chance = gradient.norm() / gradient.norm().sum()
    >>> torch.allclose(draw.sample_weight, 1 / (4 * chance[draw.index]))
    True
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from titand.selection.candidates import CandidateSet
from titand.selection.finite import Choice, choose_among_finite
from titand.selection.importance import Scores
from titand.selection.sampling import Draw, check_exponent, temper


@dataclass(frozen=True)
class ScoredSelector:
    """A selector that is a function of the candidates and their scores.

    Example:
        >>> ScoredSelector(high_loss).needs_scores
        True
    """

    choose: Choice

    @property
    def needs_scores(self) -> bool:
        """Always."""
        return True

    def select(
        self, candidates: CandidateSet, scores: Scores | None, batch_size: int, generator: torch.Generator
    ) -> Draw:
        """See `Selector.select`."""
        return choose_among_finite(self.choose, candidates, scores, batch_size, generator)


def entropy(probability: Tensor) -> Tensor:
    """Return the predictive entropy -sum_c p_c log p_c of each row, in nats: large where the model is unsure.

    Args:
        probability: [K, C] softmax.

    References:
        C. Shannon, Bell Syst. Tech. J. 27 (1948) 379-423.

    Example:
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).tolist()
        [0.6931471824645996, 0.0]
    """
    summed: Tensor = torch.special.entr(probability).sum(dim=1)
    return summed


def low_loss(candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose the smallest losses (LL): what is learned already.

    References:
        V. Shah, X. Wu, S. Sanghavi, AISTATS 2020, arXiv:2001.03316.
    """
    return _plain(top(-scores.loss, batch_size, generator))


def high_loss(candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose the largest losses (HL): what is not learned yet, or wrongly labelled.

    References:
        I. Loshchilov, F. Hutter, Online batch selection for faster training of neural networks, arXiv:1511.06343.
    """
    return _plain(top(scores.loss, batch_size, generator))


def uncertain(candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose the largest predictive entropies (CE); labels are not looked at.

    References:
        B. Settles, Active learning literature survey, University of Wisconsin, TR 1648 (2009).
    """
    return _plain(top(entropy(scores.probability), batch_size, generator))


def high_importance(candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose the largest last-layer gradients.

    References:
        M. Paul, S. Ganguli, G. Dziugaite, NeurIPS 2021, arXiv:2107.07075: the norm as a score, there over all layers.
    """
    return _plain(top(scores.gradient.norm(), batch_size, generator))


def online_coreset(candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose what is most like the mean gradient and least like each other (OCS), by `ocs_score`.

    The third term of the method, affinity to a coreset of past tasks, has nothing to refer to in a single
    stream and is left out, as is its warm-up. Gradients are those of the last layer.

    References:
        J. Yoon et al., Online coreset selection for rehearsal-based continual learning, ICLR 2022.
    """
    return _plain(top(ocs_score(scores.gradient.gram().cpu(), candidates.stage_weight), batch_size, generator))


def ocs_score(gram: Tensor, stage_weight: Tensor) -> Tensor:
    """Return similarity plus diversity of each candidate, from the inner products of the gradients: [K].

        score_i = cos(g_i, mean g) - mean_{j != i} cos(g_i, g_j)

    The cosine with a zero gradient counts as zero.

    Args:
        gram: [K, K] float64, <g_i, g_j>.
        stage_weight: [K] float64, a_i.

    References:
        J. Yoon et al., ICLR 2022, section 4.

    Example:
        Two that agree, and one across: it is less like the mean, and less like the others.

        >>> g = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        >>> [round(score, 4) for score in ocs_score(g @ g.T, torch.ones(3, dtype=torch.float64)).tolist()]
        [0.3944, 0.3944, 0.4472]
    """
    norm = gram.diagonal().clamp(min=0).sqrt()
    inverse = torch.where(norm > 0, 1 / norm, 0)
    cosine = gram * inverse.unsqueeze(1) * inverse
    with_sum = gram @ stage_weight
    sum_norm = (stage_weight @ with_sum).clamp(min=0).sqrt()
    similarity = with_sum * inverse / sum_norm if sum_norm > 0 else torch.zeros_like(norm)
    others = stage_weight.sum() - stage_weight
    alike = cosine @ stage_weight - cosine.diagonal() * stage_weight
    return similarity - torch.where(others > 0, alike / others, 0)


def camel(candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose by coverage of the raw inputs, see `cover`.

    Raises:
        ValueError: the scores bring no inputs.

    References:
        Y. Li et al., Camel: managing data for efficient stream learning, SIGMOD 2022.
    """
    if scores.input is None:
        raise ValueError("camel compares raw inputs, and the scores bring none")
    x = scores.input.flatten(1).double().cpu()
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return cover(distance, candidates, batch_size, generator)


def cover(distance: Tensor, candidates: CandidateSet, batch_size: int, generator: torch.Generator) -> Draw:
    """Choose B samples, greedily, so that every sample of the window has one of its class near it.

        maximise  F(S) = d_max - (1/n) sum_i min_{j in S, y_j = y_i} |x_i - x_j|

    with d_max, the largest distance of all, for classes without a representative. F is monotone and
    submodular, so greedy reaches at least 1 - 1/e of the best. The weight of j is B/n times the number of
    samples of its class that it is nearest to.

    Args:
        distance: [K, K] float64, |x_i - x_j|.
        candidates: K of them.
        batch_size: B.
        generator: breaks ties.

    References:
        Y. Li et al., SIGMOD 2022. G. Nemhauser, L. Wolsey, M. Fisher, Math. Program. 14 (1978) 265-294: the bound.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0], [20.0]], dtype=torch.float64)
        >>> label, ones = torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.float64)
        >>> window = CandidateSet((0, 1, 2, 3, 4), label, ones, torch.tensor([5]))
        >>> draw = cover(torch.cdist(x, x), window, 2, torch.Generator())
        >>> draw.index.tolist(), draw.sample_weight.tolist()
        ([2, 4], [1.6, 0.4])
    """
    label, mass = candidates.label, candidates.stage_weight
    furthest = distance.max()
    reach = distance.where(label.unsqueeze(1) == label, furthest)  # of i from j: as far as can be, across classes
    shortfall = torch.full_like(mass, float(furthest))  # min over what is selected
    selected = torch.zeros(0, dtype=torch.int64)
    for _ in range(min(batch_size, len(label))):
        gain = mass @ (shortfall.unsqueeze(1) - reach).clamp(min=0)
        gain[selected] = -1
        best = top(gain, 1, generator)
        selected = torch.cat([selected, best])
        shortfall = torch.minimum(shortfall, reach[:, best].squeeze(1))
    own = reach[:, selected].where(label.unsqueeze(1) == label[selected], float("inf"))
    # A sample as near to two of them counts half for each; one of a class without any counts for none.
    is_nearest = ((own == own.min(dim=1, keepdim=True).values) & own.isfinite()).double()
    count = mass @ (is_nearest / is_nearest.sum(dim=1, keepdim=True).clamp(min=1))
    return Draw(selected, len(selected) * count / candidates.window_size)


@dataclass(frozen=True)
class ISSelector:
    """Importance sampling (IS): B independent draws with P_i = u_i / sum u, u_i = a_i |g_i|, classes unseen.

    A draw has the weight a_i / (n P_i), which is without bias. Repeats are one row with the summed weight, so
    that a batch may have less than B rows; weights are then scaled so that the mean over rows is the estimate.

    Args:
        weight_exponent: see `CISSelector`.

    References:
        A. Katharopoulos, F. Fleuret, ICML 2018, arXiv:1803.00942.
    """

    weight_exponent: float = 1.0

    def __post_init__(self) -> None:
        check_exponent(self.weight_exponent)

    @property
    def needs_scores(self) -> bool:
        """Always."""
        return True

    def select(
        self, candidates: CandidateSet, scores: Scores | None, batch_size: int, generator: torch.Generator
    ) -> Draw:
        """See `Selector.select`."""
        return choose_among_finite(self._choose, candidates, scores, batch_size, generator)

    def _choose(self, candidates: CandidateSet, scores: Scores, batch_size: int, generator: torch.Generator) -> Draw:
        stage_weight = candidates.stage_weight
        size = stage_weight * scores.gradient.norm().cpu()
        probability = size if size.sum() > 0 else stage_weight
        probability = probability / probability.sum()
        drawn = torch.multinomial(probability, batch_size, replacement=True, generator=generator)
        row, repeats = torch.unique(drawn, return_counts=True)
        weight = stage_weight[row] * repeats / (candidates.window_size * probability[row])
        return Draw(row, temper(weight * len(row) / batch_size, self.weight_exponent))


def top(score: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the rows of the `count` largest scores, best first, ties in random order: int64.

    Example:
        >>> top(torch.tensor([0.5, 2.0, 1.0]), 2, torch.Generator()).tolist()
        [1, 2]
    """
    shuffled = torch.randperm(len(score), generator=generator)
    order = score.cpu()[shuffled].argsort(descending=True, stable=True)
    return shuffled[order[:count]]


def _plain(row: Tensor) -> Draw:
    return Draw(row, torch.ones(len(row), dtype=torch.float64))
