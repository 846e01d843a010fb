"""What a round costs on this machine, part by part, and what it takes by the clock under each way to run it.

    python -m benchmarks.paper costs --task har

Methods of others run one after the other, as in the paper: score the whole window, select, train. The service selects
beside training: a round takes the longer of both. Here the accelerator is one core, like the trainer's; `speedup` says
how many times faster than that a device's accelerator is.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.paper import tasks
from benchmarks.paper.methods import METHODS
from benchmarks.paper.settings import Settings
from benchmarks.paper.simulator import Choosing, Simulation
from titand.learning import scoring

REPEATS = 9


@dataclass(frozen=True)
class Costs:
    """Medians, in seconds on one core.

    Attributes:
        train: a step on a batch of B.
        feature: first block of a window of n.
        select: everything from the window to the batch, by method: filter, scores, draw.
    """

    train: float
    feature: float
    select: dict[str, float]

    def round_seconds(self, name: str, speedup: float = 1.0) -> float:
        """Return the time of a round of a method.

        >>> costs = Costs(train=0.01, feature=0.001, select={"is": 0.02, "titan": 0.006})
        >>> costs.round_seconds("is"), costs.round_seconds("titan")
        (0.03, 0.01)
        """
        select = self.select[name] / speedup
        return max(self.train, select) if METHODS[name].is_pipelined else self.train + select


def measure(task: str, full: bool = False, repeats: int = REPEATS) -> Costs:
    """Measure one task."""
    loaded = tasks.load(task, full)
    train = loaded.dataset.train
    settings = Settings(task, "rs", 1e-6, seed=0, rounds=1, full=full)
    raw = torch.from_numpy(train.input[: settings.window].copy())
    label = torch.from_numpy(train.label[: settings.window].copy())
    simulation = Simulation(settings, loaded.spec)
    x = torch.rand(settings.batch, *loaded.spec.input.shape)
    weight = torch.ones(settings.batch)
    model = simulation.choosing.model
    window = torch.rand(settings.window, *loaded.spec.input.shape)

    def select(method: str) -> Callable[[], object]:
        choosing = Choosing(settings.but(method=method), loaded.spec)

        def run() -> None:
            choosing.on_window(raw, label)
            choosing.choose(raw)

        return run

    return Costs(
        median_seconds(lambda: simulation.learner.step(x, label[: settings.batch], weight, 1), repeats),
        median_seconds(lambda: scoring.first_block_feature(model, window), repeats),
        {name: median_seconds(select(name), repeats) for name in METHODS},
    )


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median CPU time of a call, in seconds to three figures, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return float(f"{statistics.median(times):.3g}")


def write(costs: Costs, path: Path, **origin: str) -> None:
    """Keep costs on file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(costs), "origin": origin}, indent=1) + "\n")


def read(path: Path) -> Costs | None:
    """Return the costs on file, if there are any."""
    if not path.is_file():
        return None
    plain = json.loads(path.read_text())
    return Costs(plain["train"], plain["feature"], plain["select"])
