"""How often labels contradict the model, and how much the sample weights may favour large gradients meanwhile."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from titand.selection.candidates import CandidateSet
from titand.selection.sampling import check_exponent

DECAY = 0.98  # of the share, per round
SURPRISE = 0.5  # of the chance level 1 / C: a label less likely than that contradicts the model


class Contradiction:
    """The share of arrivals whose label the model contradicts, and the exponent of the sample weights that follows.

    An exponent below 1 emphasises samples of large gradient (`sampling.temper`). That pays on clean data and harms
    where labels are wrong, for wrong labels have the largest gradients. A model that has learned the task and is
    still contradicted by a tenth of the stream is being told wrong labels. With stage weights a_i, C classes, and
    p_i(y_i) the probability of the label that sample i came with,

        share <- d share + (1 - d) sum_i a_i [p_i(y_i) < 1 / (2 C)] / sum_i a_i            d = 0.98
        beta = max(least, min(1, share / full))

    Until something is known the share counts as full, so that weights begin unbiased. Classes that are mistaken for
    each other so regularly that the model expects it contradict nobody.

    Args:
        least: exponent where nothing is contradicted, in [0, 1].
        full: share at which weights are unbiased whatever `least` is, in [0, 1]; 0 leaves the exponent at `least`.

    Attributes:
        share: as above; None until something is known.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> rule = Contradiction(least=0.25, full=0.1)
        >>> rule.exponent
        1.0
        >>> rule.restore({"share": torch.tensor(0.05)})
        >>> round(rule.exponent, 6)
        0.5
    """

    def __init__(self, least: float = 1.0, full: float = 0.0) -> None:
        check_exponent(least)
        if not 0 <= full <= 1:
            raise ValueError(f"full contradiction: expected a number in [0, 1], got {full}")
        self._least = least
        self._full = full
        self.share: float | None = None

    @property
    def exponent(self) -> float:
        """Of the sample weights, for the next round."""
        if not self._full:
            return self._least
        share = self._full if self.share is None else self.share
        return max(self._least, min(1.0, share / self._full))

    def observe(self, candidates: CandidateSet, probability: Tensor) -> None:
        """Take in a window, each candidate standing for its stage weight.

        Args:
            candidates: K of them.
            probability: [K, C] softmax of the model, on any device; rows that are not finite are passed over.
        """
        given = probability[torch.arange(len(probability)), candidates.label.to(probability.device)].cpu()
        weight = candidates.stage_weight * given.isfinite()
        if not (whole := float(weight.sum())):
            return
        is_against = (given < SURPRISE / probability.shape[1]).double()
        before = self._full if self.share is None else self.share
        self.share = DECAY * before + (1 - DECAY) * float((weight * is_against).sum() / whole)

    def state(self) -> dict[str, Tensor]:
        """Return what was learned; NaN stands for nothing."""
        return {"share": torch.tensor(math.nan if self.share is None else self.share, dtype=torch.float64)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        share = float(state["share"])
        self.share = None if math.isnan(share) else share
