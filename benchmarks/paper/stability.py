"""How long an importance stays true: gradient norms of the same samples under parameters that are some rounds apart.

    python -m benchmarks.paper stability --task har

The one-round delay scores a batch with parameters that are two rounds old. Pearson's correlation of the norms says how
much is still true of what was scored then.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.paper import tasks
from benchmarks.paper.run import arrivals
from benchmarks.paper.settings import Settings
from benchmarks.paper.simulator import Simulation
from titand.learning import scoring
from titand.learning.models.split import SplitModel
from titand.learning.preprocess import Preprocess
from titand.selection.importance import LastLayerGradient

LAGS = (1, 2, 5, 10, 20)
STAGES = (25, 100, 300, 600)
SAMPLES = 500  # that are looked at again and again

Norms = NDArray[np.float64]


def measure(task: str, rate: float, seeds: int) -> dict[str, list[list[float]]]:
    """Return correlations by stage: for each lag one value a seed."""
    found: dict[str, list[list[float]]] = {str(stage): [[] for _ in LAGS] for stage in STAGES}
    for seed in range(seeds):
        for stage, norms in _norms_around(Settings(task, "rs", rate, seed, max(STAGES))).items():
            for values, lag in zip(found[str(stage)], LAGS, strict=True):
                values.append(round(correlation(norms[-1], norms[-1 - lag]), 4))
    return found


def _norms_around(settings: Settings) -> dict[int, list[Norms]]:
    """Train by RS; return the norms of the same samples after each of the rounds up to a stage, the last one last."""
    loaded = tasks.load(settings.task)
    simulation = Simulation(settings, loaded.spec)
    train = loaded.dataset.train
    at = np.random.default_rng(settings.seed).permutation(len(train))[:SAMPLES]
    x = Preprocess(loaded.spec)(torch.from_numpy(train.input[at]))
    label = torch.from_numpy(train.label[at])
    recent: deque[Norms] = deque(maxlen=max(LAGS) + 1)
    found = {}
    for round, (raw, own) in zip(range(1, settings.rounds + 1), arrivals(train, settings), strict=False):
        simulation.step(raw, own)
        if any(stage - max(LAGS) <= round <= stage for stage in STAGES):
            recent.append(norms_of(simulation.learner.model, x, label))
        if round in STAGES:
            found[round] = list(recent)
    return found


def norms_of(model: SplitModel, x: Tensor, label: Tensor) -> Norms:
    """Return the length of the last layer's gradient for each sample, [N]."""
    forward = scoring.score(model, x)
    norm: Norms = LastLayerGradient(scoring.residual(forward.logits, label), forward.hidden).norm().double().numpy()
    return norm


def correlation(a: Norms, b: Norms) -> float:
    """Return Pearson's correlation.

    >>> round(correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    """
    return float(np.corrcoef(a, b)[0, 1])


def write(found: Mapping[str, Sequence[Sequence[float]]], path: Path, **origin: str) -> None:
    """Keep correlations on file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"lags": LAGS, "correlation": found, "origin": origin}, indent=1) + "\n")


def read(path: Path) -> dict[int, list[list[float]]] | None:
    """Return correlations by stage, if they are on file."""
    if not path.is_file():
        return None
    return {int(stage): values for stage, values in json.loads(path.read_text())["correlation"].items()}
