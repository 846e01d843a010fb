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
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._sign: Tensor | None = None
        self._sketches: Tensor | None = None
        self._numbers: list[int] = []
        self._labels: list[int] = []

    def look(self, number: Sequence[int], label: Sequence[int], x: Tensor) -> list[Suspect]:
        """Return the newcomers that have a twin among those before them, and remember them all.

        Args:
            number: K of them.
            label: their class ids.
            x: [K, ...] normalised inputs.
        """
        if self._sign is None:
            size = x[0].numel()
            self._sign = (torch.randint(2, (size,), generator=self._generator) * 2.0 - 1).to(x.device)
        new = sketch(x, self._sign)
        old = new[:0] if self._sketches is None else self._sketches
        before = len(old)
        together = torch.cat([old, new])
        numbers, labels = self._numbers + list(number), self._labels + list(label)
        # Not by a matrix product, which loses small distances. [K, before + K]
        squared = torch.cdist(new, together, compute_mode="donot_use_mm_for_euclid_dist").square()
        # Only what came before counts: neither a sample itself nor its successors.
        later = (
            torch.arange(len(together), device=x.device) >= torch.arange(len(new), device=x.device)[:, None] + before
        )
        score = (self._mean_squared(together) / squared.masked_fill(later, math.inf)).log()
        best, place = score.max(dim=1)
        found = []
        for row in (best >= LEAST_SCORE).nonzero()[:, 0].tolist():
            twin = int(place[row])
            if numbers[twin] != number[row]:
                agrees = labels[twin] == label[row]
                points = min(float(best[row]), MOST_SCORE) - (SAME_LABEL if agrees else 0)
                suspect = Suspect(number[row], label[row], points, twin=numbers[twin], twin_label=labels[twin])
                found.append(suspect)
        self._sketches = together[-REMEMBERED:]
        self._numbers, self._labels = numbers[-REMEMBERED:], labels[-REMEMBERED:]
        return found

    @staticmethod
    def _mean_squared(sketches: Tensor) -> float:
        """Return the mean squared distance of two sketches: twice their variance."""
        return 2 * float((sketches - sketches.mean(dim=0)).square().sum(dim=1).mean())
