"""Samples whose labels look wrong: what scoring says anyway, kept for whoever can look at them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from titand.selection.class_stats import ClassStatistics

KEPT = 40
LEAST_SCORE = 4.0  # nats; docs/how-to/find-bad-labels.md has what it finds and what it accuses wrongly
LEAST_WEIGHT = 5.0  # samples of a class seen lately, before anything is said about it
DECAY = 0.95  # of the class statistics, per window
HALF_LIFE_WINDOWS = 500.0  # what an old model suspected makes room for what the present one does
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Suspect:
    """A sample that looks wrong, and in what way.

    Attributes:
        number: of the sample.
        label: its class id.
        score: how suspicious, in nats; see `Suspects`.
        loss: cross-entropy with its label, in nats.
        class_loss: mean of that over its class, lately.
        likeliest: the class that the model takes it for.
        likelihood: the model's probability of that.
        class_confidence: mean probability of `likeliest` over samples labelled so: what is usual for that class.
        distance: from the centroid of its label, in standard deviations of that class.
        nearest: the class whose centroid is nearest, in standard deviations of that class; -1 if it is its own.
        twin: number of a sample that is nearly the same; 0 if there is none.
        twin_label: class id of that.
    """

    number: int
    label: int
    score: float
    loss: float = 0.0
    class_loss: float = 0.0
    likeliest: int = -1
    likelihood: float = 0.0
    class_confidence: float = 1.0
    distance: float = 0.0
    nearest: int = -1
    twin: int = 0
    twin_label: int = -1


class Suspects:
    """Looks at every scored sample, and keeps the most suspicious.

    With p_y the model's probability of the label, d_c the distance of the last layer's input from the centroid of
    class c and s_c the standard deviation of that class, both over labels as they came, the score of a sample is

        -ln p_y + ln( (d_y / s_y)^2 / min_{c != y} (d_c / s_c)^2 )

    the loss, plus what the geometry says without the last layer. It is suspicious from `LEAST_SCORE` on if it is worse
    than a guess (loss above ln C) and nearer to another class. Scores halve in 500 windows, so that what a young model
    suspected is forgotten.

    Args:
        class_count: C.
        capacity: most samples kept.

    References:
        High loss as a sign of a wrong label: E. Arazo et al., ICML 2019, arXiv:1904.11238. Confidence by class: C.
        Northcutt, L. Jiang, I. Chuang, J. Artif. Intell. Res. 70 (2021), arXiv:1911.00068.

    Example:
        Two classes around -3 and 3; the last of these samples lies among those of the other label.

        >>> hidden = torch.tensor([[-3.5], [-3.0], [-2.5], [2.5], [3.0], [3.5]])
        >>> probability = torch.softmax(torch.cat([-hidden, hidden], dim=1), dim=1)
        >>> suspects = Suspects(class_count=2)
        >>> for _ in range(10):
        ...     suspects.learn(torch.tensor([0, 0, 0, 1, 1, 1]), hidden, probability)
        >>> suspects.look(range(1, 7), torch.tensor([0, 0, 0, 1, 1, 0]), hidden, probability)
        >>> [(suspect.number, suspect.label, suspect.likeliest) for suspect in suspects.listed()]
        [(6, 0, 1)]
    """

    def __init__(self, class_count: int, capacity: int = KEPT) -> None:
        self._class_count = class_count
        self._capacity = capacity
        self._place: ClassStatistics | None = None  # made when the size of the features is known
        self._answer: ClassStatistics | None = None  # of (p_y, loss)
        self._kept: dict[int, tuple[float, Suspect]] = {}  # by number, with the window that it was looked at in
        self._window = 0

    def __len__(self) -> int:
        return len(self._kept)

    def learn(self, label: Tensor, hidden: Tensor, probability: Tensor) -> None:
        """Take a window of arrivals as examples of what is usual.

        Args:
            label: [K] int64.
            hidden: [K, D] input of the last layer, or [K, C, D] where each class has its own.
            probability: [K, C] softmax.
        """
        self._window += 1
        hidden, own = _flat(hidden), _own(probability, label)
        if self._place is None or self._answer is None:
            self._place = ClassStatistics(self._class_count, hidden.shape[1], DECAY, hidden.device)
            self._answer = ClassStatistics(self._class_count, 2, DECAY, hidden.device)
        label = label.to(hidden.device)
        self._place.age()
        self._answer.age()
        self._place.update(label, hidden)
        self._answer.update(label, torch.stack([own, -own.log()], dim=1))

    def look(self, number: Sequence[int], label: Tensor, hidden: Tensor, probability: Tensor) -> None:
        """Keep those that are suspicious, and let go of those that no longer are. Shapes as for `learn`."""
        if self._place is None or self._answer is None:
            return
        hidden, label = _flat(hidden), label.to(hidden.device)
        for each in number:
            self._kept.pop(each, None)
        worse = (_own(probability, label) < 1 / self._class_count).nonzero()[:, 0]
        if not len(worse):
            return
        number = [number[row] for row in worse.tolist()]
        label, hidden, probability = label[worse], hidden[worse], probability[worse]
        loss = -_own(probability, label).log()
        distance = _distances(self._place, hidden)
        column = label.unsqueeze(1)
        mine = distance.gather(1, column)[:, 0]
        other, nearest = distance.scatter(1, column, math.inf).min(dim=1)
        geometry = (mine / other).clamp(math.exp(-5), math.exp(5)).log()
        score = torch.where(mine.isfinite() & other.isfinite(), loss + geometry, 0.0)
        suspicious = (score >= LEAST_SCORE) & (geometry > 0)
        likelihood, likeliest = probability.max(dim=1)
        usual = self._answer.mean
        for row in suspicious.nonzero()[:, 0].tolist():
            y, k = int(label[row]), int(likeliest[row])
            self._keep(
                Suspect(
                    number[row],
                    y,
                    float(score[row]),
                    loss=float(loss[row]),
                    class_loss=float(usual[y, 1]),
                    likeliest=k,
                    likelihood=float(likelihood[row]),
                    class_confidence=float(usual[k, 0]),
                    distance=math.sqrt(float(mine[row])),
                    nearest=int(nearest[row]),
                )
            )

    def add(self, twins: Iterable[Suspect]) -> None:
        """Keep samples that are suspicious for another reason, unless they are kept already."""
        for each in twins:
            if each.number not in self._kept:
                self._keep(each)

    def forget(self, number: int) -> None:
        """Let go of a sample: its label was corrected."""
        self._kept.pop(number, None)

    def listed(self) -> list[Suspect]:
        """Return what is kept, the most suspicious first."""
        return [suspect for _, suspect in sorted(self._kept.values(), key=self._rank, reverse=True)]

    def _keep(self, suspect: Suspect) -> None:
        self._kept[suspect.number] = self._window, suspect
        if len(self._kept) > self._capacity:
            least = min(self._kept.values(), key=self._rank)
            del self._kept[least[1].number]

    def _rank(self, kept: tuple[float, Suspect]) -> float:
        """Return ln(exp(score) / 2^age), up to what is the same for all."""
        window, suspect = kept
        return suspect.score + window * math.log(2) / HALF_LIFE_WINDOWS


def _distances(place: ClassStatistics, hidden: Tensor) -> Tensor:
    """Return squared distances from the centroids over the variances: [K, C], infinite for classes hardly seen."""
    mean = place.mean.double()
    variance = (place.mean_square - mean.square().sum(dim=1)).clamp(min=1e-12)
    distance = torch.cdist(hidden.double(), mean).square() / variance
    return distance.masked_fill(place.weight < LEAST_WEIGHT, math.inf)


def _flat(hidden: Tensor) -> Tensor:
    return hidden.mean(dim=1) if hidden.dim() == 3 else hidden


def _own(probability: Tensor, label: Tensor) -> Tensor:
    """Return the probability of the label: [K], never 0."""
    column = label.to(probability.device).unsqueeze(1)
    return probability.gather(1, column)[:, 0].clamp(min=LEAST_PROBABILITY)
