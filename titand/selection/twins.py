"""Samples that are nearly the same as one that was seen lately, by a short sketch of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from titand.selection.suspects import Suspect

SKETCH = 64  # numbers kept of a sample: squared distances are right to within a factor of 1 +- 0.18
REMEMBERED = 512  # sketches: 128 KB
LEAST_SCORE = 5.3  # nats: twins are 200 times nearer, squared, than two samples are on average
MOST_SCORE = 9.2  # of an exact copy
SAME_LABEL = 5.0  # taken from the score of twins that agree on their label: copies are a waste, not a mistake


def sketch(x: Tensor, sign: Tensor) -> Tensor:
    """Return the signed sums of SKETCH neighbouring parts of each sample: [K, SKETCH] float32.

    With random signs the expected squared distance of two sketches is that of the samples.

    Args:
        x: [K, ...] normalised inputs of P numbers each.
        sign: [P] of -1 and 1.

    References:
        M. Charikar, K. Chen, M. Farach-Colton, ICALP 2002 (count sketch), with neighbours for hash buckets.

    Example:
        >>> sign = torch.ones(128)
        >>> sign[1] = -1
        >>> sketch(torch.ones(1, 128), sign)[0, :3].tolist()  # of two neighbours each
        [0.0, 2.0, 2.0]
    """
    flat = x.flatten(1) * sign
    padded = torch.nn.functional.pad(flat, (0, -flat.shape[1] % SKETCH))
    return padded.view(len(flat), SKETCH, -1).sum(dim=2)


class Twins:
    """Remembers sketches of samples, and finds newcomers that are nearly the same.

    The score of a twin is ln(mean squared distance of two samples / squared distance of the two), at most that of an
    exact copy; less SAME_LABEL if their labels agree.

    Args:
        generator: of the signs.

    Example:
        >>> twins = Twins(torch.Generator().manual_seed(0))
        >>> x = torch.randn(20, 8, generator=torch.Generator().manual_seed(1))
        >>> x[19] = x[3]
        >>> [(suspect.number, suspect.twin) for suspect in twins.look(range(1, 21), [0] * 20, x)]
        [(20, 4)]
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._sign = torch.zeros(0)
        self._sketches = torch.zeros(0, SKETCH)  # a ring, less the mean of the first window; rows that were never
        self._square = torch.zeros(0)  # filled are infinitely far
        self._centre = torch.zeros(SKETCH)
        self._numbers = [0] * REMEMBERED
        self._labels = [0] * REMEMBERED
        self._count = 0

    def look(self, number: Sequence[int], label: Sequence[int], x: Tensor) -> list[Suspect]:
        """Return the newcomers that have a twin among those before them, and remember them all.

        Args:
            number: K of them.
            label: their class ids.
            x: [K, ...] normalised inputs.
        """
        if not self._count:
            self._begin(x)
        found = []
        for start in range(0, len(number), REMEMBERED // 2):
            part = slice(start, start + REMEMBERED // 2)
            found += self._look(number[part], label[part], sketch(x[part], self._sign) - self._centre)
        return found

    def _begin(self, x: Tensor) -> None:
        size, device = x[0].numel(), x.device
        self._sign = (torch.randint(2, (size,), generator=self._generator) * 2.0 - 1).to(device)
        self._centre = sketch(x, self._sign).mean(dim=0)
        self._sketches = torch.zeros(REMEMBERED, SKETCH, device=device)
        self._square = torch.full((REMEMBERED,), math.inf, device=device)

    def _look(self, number: Sequence[int], label: Sequence[int], new: Tensor) -> list[Suspect]:
        rows = [(self._count + i) % REMEMBERED for i in range(len(new))]
        place = torch.tensor(rows, device=new.device)
        square = new.square().sum(dim=1)
        self._sketches[place], self._square[place] = new, square
        for row, each, its_label in zip(rows, number, label, strict=True):
            self._numbers[row], self._labels[row] = each, its_label
        self._count += len(new)
        squared = square.unsqueeze(1) + self._square - 2 * new @ self._sketches.T  # [K, REMEMBERED]
        # Only what came before counts: neither a sample itself nor its successors.
        squared[:, place] += torch.full((len(new), len(new)), math.inf, device=new.device).triu()
        mean = self._mean_squared()
        least, nearest = squared.min(dim=1)
        found = []
        for i in (least <= mean * math.exp(-LEAST_SCORE)).nonzero()[:, 0].tolist():
            row = int(nearest[i])
            if self._numbers[row] == number[i]:
                continue  # the same sample, scored once more
            exactly = float((new[i] - self._sketches[row]).square().sum())  # a difference of squares is not
            score = min(math.log(mean / exactly), MOST_SCORE) if exactly else MOST_SCORE
            twin, twin_label = self._numbers[row], self._labels[row]
            score -= SAME_LABEL if twin_label == label[i] else 0
            found.append(Suspect(number[i], label[i], score, twin=twin, twin_label=twin_label))
        return found

    def _mean_squared(self) -> float:
        """Return the mean squared distance of two sketches that are remembered: twice their variance."""
        count = min(self._count, REMEMBERED)
        sketches, square = self._sketches[:count], self._square[:count]
        return 2 * float(square.mean() - sketches.mean(dim=0).square().sum())
