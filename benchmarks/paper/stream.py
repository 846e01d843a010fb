"""In which order samples arrive, and with which labels: seeded, each sample once before any comes again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
BURST = 50  # samples of one class in a row
DRIFT_SPREAD = 0.15  # of the time at which a class arrives, as a share of an epoch


def shuffled(label: Index, generator: np.random.Generator) -> Index:
    """Return all positions in random order."""
    return generator.permutation(len(label))


def bursts(label: Index, generator: np.random.Generator) -> Index:
    """Return all positions, `BURST` of one class after the other: a window holds two or three classes."""
    pieces: list[Index] = []
    for y in np.unique(label):
        own = generator.permutation(np.flatnonzero(label == y))
        pieces += np.split(own, range(BURST, len(own), BURST))
    return np.concatenate([pieces[i] for i in generator.permutation(len(pieces))])


def drift(label: Index, generator: np.random.Generator) -> Index:
    """Return all positions so that one class after the other comes up, and goes again, in the course of an epoch."""
    centre = (label + 0.5) / (label.max() + 1)
    time = (centre + DRIFT_SPREAD * generator.standard_normal(len(label))) % 1.0
    order: Index = np.argsort(time)
    return order


ORDERS: Mapping[str, Callable[[Index, np.random.Generator], Index]] = {
    "shuffled": shuffled,
    "bursts": bursts,
    "drift": drift,
}


def windows(label: Index, size: int, order: str, seed: int) -> Iterator[Index]:
    """Yield the positions of the samples of one window after the other, for ever.

    >>> stream = windows(np.zeros(5, np.int64), 2, "shuffled", seed=0)
    >>> sorted(np.concatenate([next(stream), next(stream)]).tolist() + next(stream).tolist()[:1])
    [0, 1, 2, 3, 4]
    """
    generator = np.random.default_rng([seed, 1])
    waiting = np.zeros(0, np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, ORDERS[order](label, generator)])
        yield waiting[:size]
        waiting = waiting[size:]


def with_noise(label: Index, class_count: int, share: float, seed: int) -> Index:
    """Return labels of which a share is replaced, each by one of the other classes with equal chance.

    >>> noisy = with_noise(np.arange(1000) % 10, 10, 0.2, seed=0)
    >>> int((noisy != np.arange(1000) % 10).sum())
    200
    """
    generator = np.random.default_rng([seed, 2])
    wrong = generator.permutation(len(label))[: round(share * len(label))]
    noisy: Index = label.copy()
    noisy[wrong] = (label[wrong] + generator.integers(1, class_count, len(wrong))) % class_count
    return noisy


def imbalanced(label: Index, ratio: float, seed: int) -> Index:
    """Return the positions that are left when class k of C keeps a share of ratio^(-k / (C - 1)) of its samples.

    >>> kept = imbalanced(np.repeat([0, 1, 2], 100), 100.0, seed=0)
    >>> np.bincount(np.repeat([0, 1, 2], 100)[kept]).tolist()
    [100, 10, 1]
    """
    generator = np.random.default_rng([seed, 3])
    classes = np.unique(label)
    kept = []
    for k, y in enumerate(classes):
        own = generator.permutation(np.flatnonzero(label == y))
        share = ratio ** (-k / max(1, len(classes) - 1))
        kept.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(kept))
