"""Stage two: which candidates make the batch, and with what weight."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from titand.selection import baselines
from titand.selection.allocation import stratify
from titand.selection.baselines import ISSelector, ScoredSelector
from titand.selection.candidates import CandidateSet
from titand.selection.finite import choose_among_finite
from titand.selection.gain import variance_ratio
from titand.selection.importance import Scores
from titand.selection.sampling import Design, Draw, check_exponent, design_of, draw_rows, temper

LEAST_IMPORTANCE = 1e-6  # where nothing is asked for: no importance is zero


class Selector(Protocol):
    """Chooses the batch from the candidates of a window."""

    @property
    def needs_scores(self) -> bool:
        """Whether the candidates must be run through the model first."""

    def select(
        self, candidates: CandidateSet, scores: Scores | None, batch_size: int, generator: torch.Generator
    ) -> Draw:
        """Choose min(B, usable candidates) rows.

        Args:
            candidates: K of them.
            scores: of the same rows; None where the selector needs none.
            batch_size: B, >= 1.
            generator: of all chance in it, on the CPU.

        Raises:
            ValueError: scores are missing or of other rows, or B < 1.
        """


@dataclass(frozen=True)
class CISSelector:
    """Class-level importance sampling, exact in whole draws and without bias through both stages.

    With stage-one weights a_i and u_i = a_i |g_i|: `allocation.stratify` splits the classes into strata and
    the batch into draws of each; a stratum of b draws includes row i with p_i = min(1, b u_i / sum u)
    (`sampling.py`), and the sample weights are

        w_i = B a_i / (n p_i)          E (1/B) sum_b w_b g_b = (1/n) sum_i a_i g_i

    the right side being unbiased for the window's mean gradient if the coarse filter is. Where no candidate
    has a gradient, u_i = a_i, which is class-stratified random selection.

    Args:
        weight_exponent: beta in [0, 1]. Weights become w^beta, scaled so that their mean is
            (mean w)^beta: 1 is unbiased; 0 is the plain average of the paper's section II-A, which
            emphasises samples of large gradient.
        least_importance: importance below this share of the mean counts as this share. It bounds the sample
            weights whatever a converged, or outdated, model scores, and adds no bias, because chance and weight
            both come from the bounded value.

    References:
        C. Gong et al., arXiv:2505.16563. J. Neyman, J. R. Stat. Soc. 97 (1934) 558-625.

    Example:
        The gradients of class 0 agree, those of class 1 cancel: one draw says all of the first, and four candidates
        of it weigh 1 + 1 = 2 arrivals out of four.

        >>> from titand.selection.importance import LastLayerGradient
        >>> g = torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
        >>> gradient = LastLayerGradient(g, torch.ones(4, 1))
        >>> scores = Scores(gradient, torch.ones(4), torch.ones(4, 2) / 2)
        >>> label, ones = torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.float64)
        >>> candidates = CandidateSet((0, 1, 2, 3), label, ones, torch.tensor([2, 2]))
        >>> draw = CISSelector().select(candidates, scores, 3, torch.Generator())
        >>> label[draw.index].sort().values.tolist(), draw.sample_weight.sort().values.tolist()
        ([0, 1, 1], [0.75, 0.75, 1.5])
        >>> design = class_design(candidates, gradient.gram(), 3)
        >>> design.probability
        (0.5, 0.5, 1.0, 1.0)
        >>> unbiased_weight(candidates, design, torch.tensor([0, 2, 3])).tolist()  # 3 a_i / (4 p_i)
        [1.5, 0.75, 0.75]
    """

    weight_exponent: float = 1.0
    least_importance: float = LEAST_IMPORTANCE

    def __post_init__(self) -> None:
        check_exponent(self.weight_exponent)
        if not 0 < self.least_importance <= 1:
            raise ValueError(f"least importance: expected a number in (0, 1], got {self.least_importance}")

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
        gram = scores.gradient.gram().cpu()
        design = class_design(candidates, gram, batch_size, self.least_importance)
        row = draw_rows(design, candidates.label.tolist(), generator)
        weight = unbiased_weight(candidates, design, row)
        gain = variance_ratio(candidates, design, gram, len(row))
        return Draw(row, temper(weight, self.weight_exponent), gain)


@dataclass(frozen=True)
class UniformSelector:
    """Uniform random selection, the control: no scores, every sample of the window has the same chance.

    Rows are drawn with p_i proportional to a_i, so that through both stages each arrival is included with
    probability B/n, and all weights are 1 (but for candidates with B a_i > sum a, which are certain). Behind
    the filter rule "uniform" that is simple random sampling of the window.

    Args:
        by_class: order the list by class, so that the batch has the class shares of the window
            (class-stratified random selection).

    Example:
        >>> label, ones = torch.tensor([0, 1, 0, 0, 1, 0]), torch.ones(6, dtype=torch.float64)
        >>> candidates = CandidateSet(tuple(range(6)), label, ones, torch.tensor([4, 2]))
        >>> draw = UniformSelector(by_class=True).select(candidates, None, 3, torch.Generator())
        >>> label[draw.index].tolist(), [round(weight, 9) for weight in draw.sample_weight.tolist()]
        ([0, 0, 1], [1.0, 1.0, 1.0])
    """

    by_class: bool = False

    @property
    def needs_scores(self) -> bool:
        """Never."""
        return False

    def select(
        self, candidates: CandidateSet, scores: Scores | None, batch_size: int, generator: torch.Generator
    ) -> Draw:
        """See `Selector.select`; scores are not looked at."""
        if batch_size < 1:
            raise ValueError(f"batch size: expected an integer above 0, got {batch_size}")
        if not candidates.key:
            return Draw(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64))
        together = [0] * len(candidates.key)
        design = design_of(candidates.stage_weight.tolist(), together, [batch_size])
        group = candidates.label.tolist() if self.by_class else together
        row = draw_rows(design, group, generator)
        return Draw(row, unbiased_weight(candidates, design, row))


def class_design(
    candidates: CandidateSet, gram: Tensor, batch_size: int, least_importance: float = LEAST_IMPORTANCE
) -> Design:
    """Return the chances that C-IS gives to K candidates: a function of them alone, whatever their order.

    Args:
        candidates: K >= 1 of them.
        gram: [K, K] float64, <g_i, g_j>, finite.
        batch_size: B, >= 1.
        least_importance: see `CISSelector`.
    """
    label, stage_weight = candidates.label, candidates.stage_weight
    norm = gram.diagonal().clamp(min=0).sqrt()
    least = least_importance * float(norm.mean())
    size = stage_weight * (norm.clamp(min=least) if least > 0 else 1)
    _, dense = torch.unique(label, return_inverse=True)
    member = torch.nn.functional.one_hot(dense).double()  # [K, A]
    summed = member * stage_weight.unsqueeze(1)
    strata = stratify(
        (member.T @ size).tolist(),
        (summed.T @ gram @ summed).tolist(),
        member.sum(dim=0).int().tolist(),
        batch_size,
    )
    stratum_of = {y: h for h, classes in enumerate(strata.members) for y in classes}
    return design_of(size.tolist(), [stratum_of[y] for y in dense.tolist()], strata.draws)


def unbiased_weight(candidates: CandidateSet, design: Design, row: Tensor) -> Tensor:
    """Return w_i = B a_i / (n p_i) of the drawn rows: [B] float64.

    Args:
        candidates: K of them.
        design: the chances of each.
        row: [B] int64, those that were drawn.

    References:
        D. Horvitz, D. Thompson, J. Am. Stat. Assoc. 47 (1952) 663-685.
    """
    probability = torch.tensor(design.probability, dtype=torch.float64)[row]
    return len(row) * candidates.stage_weight[row] / (candidates.window_size * probability)


POLICIES: Mapping[str, Callable[..., Selector]] = {
    "cis": CISSelector,
    "uniform": UniformSelector,
    "rs": UniformSelector,
    "stratified": partial(UniformSelector, by_class=True),
    "is": ISSelector,
    "ll": partial(ScoredSelector, baselines.low_loss),
    "hl": partial(ScoredSelector, baselines.high_loss),
    "ce": partial(ScoredSelector, baselines.uncertain),
    "gn-top": partial(ScoredSelector, baselines.high_importance),
    "ocs": partial(ScoredSelector, baselines.online_coreset),
    "camel": partial(ScoredSelector, baselines.camel),
}


def make_selector(policy: str, **options: float) -> Selector:
    """Return the selector of that name.

    Args:
        policy: a key of `POLICIES`.
        options: of the selector, by name.

    Raises:
        ValueError: there is no such policy, and the message names the nearest one; or the policy has no such
            option, or not that value.

    Example:
        >>> make_selector("is", weight_exponent=0.5)
        ISSelector(weight_exponent=0.5)
    """
    if policy not in POLICIES:
        nearest = difflib.get_close_matches(policy, POLICIES, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown selection policy {policy!r}; the nearest one is {nearest!r}")
    try:
        return POLICIES[policy](**options)
    except TypeError as error:
        raise ValueError(f"selection policy {policy!r}: {error}") from error
