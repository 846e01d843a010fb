"""One run from settings to a curve."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.paper import stream, tasks
from benchmarks.paper.averaging import Average
from benchmarks.paper.settings import Settings
from benchmarks.paper.simulator import Simulation
from benchmarks.paper.tasks import Loaded
from titand.demo.files import Samples
from titand.learning.evaluation import evaluate
from titand.learning.preprocess import Preprocess

TEST_BATCH = 500
RESERVOIR = 500  # samples that replay remembers


@dataclass(frozen=True)
class Curve:
    """What a run gives.

    Attributes:
        accuracy: on the test part every `evaluate_every` rounds, in parts of ten thousand.
        average_accuracy: likewise, of the averaged parameters.
        gain: geometric mean of the rounds' variance ratio; None where there is none.
        refused: updates that were not finite.
        seconds: CPU time.
    """

    accuracy: tuple[int, ...]
    average_accuracy: tuple[int, ...]
    gain: float | None
    refused: int
    seconds: float


def run(settings: Settings) -> Curve:
    """Run it."""
    start = time.process_time()
    loaded = tasks.load(settings.task, settings.full)
    simulation = Simulation(settings, loaded.spec)
    average = Average(simulation.learner.model)
    test = test_part(loaded, settings)
    accuracy, average_accuracy, gains, refused = [], [], [], 0
    for round, (raw, label) in zip(
        range(1, settings.rounds + 1), arrivals(loaded.dataset.train, settings), strict=False
    ):
        chosen, report = simulation.step(raw, label)
        average.follow()
        refused += not report.finite
        if chosen.draw.variance_ratio is not None:
            gains.append(math.log(chosen.draw.variance_ratio))
        if round % settings.evaluate_every == 0:
            accuracy.append(accuracy_of(simulation.learner.model, test))
            average_accuracy.append(accuracy_of(average.model, test))
    gain = round_to(math.exp(sum(gains) / len(gains))) if gains else None
    seconds = round_to(time.process_time() - start)
    return Curve(tuple(accuracy), tuple(average_accuracy), gain, refused, seconds)


def round_to(value: float) -> float:
    """Return three decimals."""
    return round(value, 3)


def arrivals(train: Samples, settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the windows of a run: raw samples [n, *shape] and labels [n], with what replay adds at the end."""
    if settings.imbalance > 1:
        train = train.at(stream.imbalanced(train.label, settings.imbalance, settings.seed))
    noisy = stream.with_noise(train.label, len(train.class_names), settings.noise, settings.seed)
    value, label = torch.from_numpy(np.ascontiguousarray(train.input)), torch.from_numpy(noisy)
    memory = Reservoir(RESERVOIR, settings.seed)
    for position in stream.windows(train.label, settings.window, settings.stream, settings.seed):
        joined = torch.from_numpy(position)
        if settings.replay:
            joined = torch.from_numpy(np.concatenate([position, memory.sample(round(settings.replay * len(position)))]))
            memory.offer(position)
        yield value[joined], label[joined]


class Reservoir:
    """A uniform sample of all positions so far (J. S. Vitter, ACM Trans. Math. Softw. 11 (1985) 37-57)."""

    def __init__(self, size: int, seed: int) -> None:
        self._kept: list[int] = []
        self._seen = 0
        self._size = size
        self._generator = np.random.default_rng([seed, 4])

    def offer(self, position: stream.Index) -> None:
        """Take in what arrived."""
        for each in position.tolist():
            self._seen += 1
            if len(self._kept) < self._size:
                self._kept.append(each)
            elif (place := int(self._generator.integers(self._seen))) < self._size:
                self._kept[place] = each

    def sample(self, count: int) -> stream.Index:
        """Return some of what is kept, each at most once."""
        count = min(count, len(self._kept))
        return self._generator.choice(np.array(self._kept, np.int64), count, replace=False)


def test_part(loaded: Loaded, settings: Settings) -> list[tuple[Tensor, Tensor]]:
    """Return batches of normalised test samples with their labels; the same ones for every run of a task."""
    test = loaded.dataset.test
    most = len(test) if settings.full else tasks.TASKS[settings.task].test_samples
    if most < len(test):
        test = test.at(np.sort(np.random.default_rng(0).permutation(len(test))[:most]))
    preprocess = Preprocess(loaded.spec)
    parts = [test.at(slice(at, at + TEST_BATCH)) for at in range(0, len(test), TEST_BATCH)]
    return [
        (preprocess(torch.from_numpy(np.ascontiguousarray(part.input))), torch.from_numpy(part.label)) for part in parts
    ]


def accuracy_of(model: nn.Module, test: list[tuple[Tensor, Tensor]]) -> int:
    """Return the accuracy in parts of ten thousand."""
    class_count = 1 + max(int(label.max()) for _, label in test)
    return round(10_000 * (evaluate(model, test, class_count).accuracy or 0.0))


def plain(curve: Curve) -> dict[str, Any]:
    """Return a curve as plain data."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(curve).items()}
