"""Whether a model may take the place of the best one so far: both answer the same samples, and an interval decides.

Two errors are to be rare, and they are not alike.

- To promote a worse model. The 95 % interval of the paired difference of accuracies has to lie above -margin: Tango's
  score interval, the standard for non-inferiority in paired samples. And no loss may be seen either, or else margins
  would add up from promotion to promotion.
- To call a model worse that is not. This is asked again and again, for as long as the service lives, of models that
  change, on samples that mostly stay: so no approximation, and a rate that holds for any number of looks. Evidence is
  the wealth of a gambler who bets on the loss. With odds that are fair for a model within the margin, wealth of 1 / a
  has at most chance a (Markov). So in N looks there are at most a N false alarms on average, however the looks depend
  on each other: the mean time between false alarms is what is stated, as in change detection. A bound on the chance of
  ever being wrong would have to grow blind with time.

References:
    T. Tango, Statistics in Medicine 17 (1998) 891-908: the interval.
    I. Waudby-Smith, A. Ramdas, J. R. Stat. Soc. B 86 (2024) 1-27: means of bounded variables by betting.
    J. Shin, A. Ramdas, A. Rinaldo, New England J. Stat. Data Sci. 2 (2024) 229-260: e-values and time to false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

LEAST_SAMPLES = 30  # fewer say nothing about a difference of a few points
_Z_95 = 1.959964
_BETS = 16  # stakes that the gambler spreads his money over; twice as many change the evidence by under 2 %


class Verdict(str, Enum):
    """What came of a comparison."""

    PROMOTED = "promoted"  # not worse than the best: the best from now on
    KEPT = "kept"  # neither shown to be as good, nor to be worse
    FAILED = "failed"  # worse than the best by more than the margin
    UNJUDGED = "unjudged"  # too few samples


@dataclass(frozen=True)
class Pairs:
    """How two models answered the same samples.

    Attributes:
        count: n, samples.
        better: b, that only the judged model names correctly.
        worse: c, that only the best model names correctly.
    """

    count: int
    better: int
    worse: int

    @staticmethod
    def of(judged: Sequence[bool], best: Sequence[bool]) -> Pairs:
        """Count pairs of right and wrong answers.

        >>> Pairs.of([True, True, False, False], [True, False, True, False])
        Pairs(count=4, better=1, worse=1)
        """
        both = list(zip(judged, best, strict=True))
        return Pairs(len(both), sum(j and not b for j, b in both), sum(b and not j for j, b in both))

    @property
    def difference(self) -> float:
        """Accuracy of the judged model minus that of the best, (b - c) / n; 0 without samples."""
        return (self.better - self.worse) / self.count if self.count else 0.0

    def interval(self, z: float = _Z_95) -> tuple[float, float]:
        """Return the interval of the difference: all D that the score test does not refuse, |score(D)| <= z.

        >>> [round(end, 3) for end in Pairs(50, 1, 3).interval()]
        [-0.146, 0.054]
        """
        if self.count == 0:
            return -1.0, 1.0
        return self._end(z, -1.0), self._end(-z, 1.0)

    def _end(self, z: float, far: float) -> float:
        near = self.difference
        for _ in range(50):  # the score falls as D grows: halve
            middle = (near + far) / 2
            if (self.score(middle) > z) if far < near else (self.score(middle) < z):
                far = middle
            else:
                near = middle
        return near

    def score(self, difference: float) -> float:
        """Return Tango's score of a difference D: about normal (0, 1) if that is the true one.

        T = (b - c - n D) / sqrt(n (2 q + D (1 - D))), where q is the likeliest share of c if D is true: the larger
        root of 2 n q^2 + (-b - c + (2 n - b + c) D) q - c D (1 - D) = 0.
        """
        n, b, c = self.count, self.better, self.worse
        linear = -b - c + (2 * n - b + c) * difference
        root = math.sqrt(max(0.0, linear * linear + 8 * n * c * difference * (1 - difference)))
        variance = n * ((root - linear) / (2 * n) + difference * (1 - difference))
        gap = b - c - n * difference
        if variance <= 0:
            return math.copysign(math.inf, gap) if gap else 0.0
        return gap / math.sqrt(variance)

    def log_evidence_of_loss(self, margin: float) -> float:
        """Return the logarithm of the wealth of a gambler who bets that the judged model is worse by over `margin`.

        With d in {1, 0, -1} for a sample of b, of neither, of c, he has prod_i (1 - stake (d_i + margin)), averaged
        over stakes spread evenly over (0, 1 / (1 + margin)). Its mean is at most 1 unless the true difference is below
        -margin, for samples that are drawn independently, by class or not.
        """
        n, b, c = self.count, self.better, self.worse
        logs = []
        for step in range(_BETS):
            stake = (step + 0.5) / _BETS / (1 + margin)
            won, even, lost = 1 + stake * (1 - margin), 1 - stake * margin, 1 - stake * (1 + margin)
            logs.append(c * math.log(won) + (n - b - c) * math.log(even) + b * math.log(lost))
        most = max(logs)
        return most + math.log(sum(math.exp(each - most) for each in logs) / _BETS)


def judge(comparisons: Sequence[Pairs], margin: float, error_rate: float) -> Verdict:
    """Compare a model with the best, on one or more sets of samples.

    Args:
        comparisons: one for each set; the first has to have `LEAST_SAMPLES`.
        margin: loss of accuracy that does not matter.
        error_rate: most chance of `FAILED` for a model that is not worse by the margin.
    """
    if comparisons[0].count < LEAST_SAMPLES:
        return Verdict.UNJUDGED
    needed = math.log(len(comparisons) / error_rate)
    if any(each.log_evidence_of_loss(margin) >= needed for each in comparisons):
        return Verdict.FAILED
    if all(each.difference >= 0 and each.interval()[0] > -margin for each in comparisons):
        return Verdict.PROMOTED
    return Verdict.KEPT
