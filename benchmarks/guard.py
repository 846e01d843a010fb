"""How often the guard calls healthy training sick: real data, real models, random batches, no fault anywhere.

    python -m benchmarks.guard --task digits --runs 20 --rounds 4000 --rate 0.1

Each run streams a task, keeps a class-balanced set of held-out samples that changes as it goes, and asks the gate and
the watch over the losses what the daemon would ask them. Every alarm is false, but for a learning rate at which
training really swings by more than the margin. `--labels random` and `--labels swapped` change the stream half-way, to
see the true alarms.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import repeats
from benchmarks.paper.tasks import load
from titand.learning.divergence import Divergence
from titand.learning.drift import Drift
from titand.learning.gate import Pairs, Verdict, judge
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.preprocess import Preprocess
from titand.learning.schedules import step
from titand.learning.state import model_tensors
from titand.learning.trainer import Learner

BATCH, CANDIDATES, HELD_OUT, ARRIVALS = 10, 30, 200, 100  # arrivals of a round, a twentieth of which is held out
TURNOVER = 2000  # rounds in which the held-out samples are replaced, as evaluation.held_out_rounds


@dataclass
class Outcome:
    """What a run showed.

    Attributes:
        verdicts: how often each.
        alarms: (round, why) of all alarms.
        longest_astray: most rounds in a row with a loss above the limit of divergence.
        lowest: smallest difference to the best, over all gates.
        drifts: (round, error before, error after) of all rises of the error on arrivals.
        accuracy: on what is held out, at the last gate.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    alarms: list[tuple[int, str]] = field(default_factory=list)
    longest_astray: int = 0
    lowest: float = 0.0
    drifts: list[tuple[int, float, float]] = field(default_factory=list)
    accuracy: float = 0.0


class Reservoir:
    """Held-out samples, kept as the daemon does: the fullest class makes room."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self._allowed = 0.0
        self._rows: dict[int, list[tuple[int, int]]] = {}
        self._next = 0

    def add(self, row: int, label: int) -> None:
        """Keep one more."""
        own = self._rows.setdefault(label, [])
        own.append((self._next, row))
        self._next += 1
        if sum(map(len, self._rows.values())) > HELD_OUT:
            fullest = max(self._rows.values(), key=len)
            if len(fullest) > len(own) or self._allowed >= 1:
                self._allowed -= len(fullest) == len(own)
                fullest.pop(self._generator.randrange(len(fullest)))
            else:
                own.pop()

    def after_round(self) -> None:
        """Allow some to be replaced."""
        self._allowed = min(self._allowed + HELD_OUT / TURNOVER, HELD_OUT / 10)

    def samples(self) -> list[tuple[int, int, int]]:
        """Return (number, row, label) of all."""
        return [(number, row, label) for label, kept in self._rows.items() for number, row in kept]


def run(task: str, seed: int, rounds: int, every: int, rate: float, margin: float, labels: str) -> Outcome:
    """Train once; a fault, if one is asked for, begins half-way."""
    loaded = load(task)
    spec, preprocess = loaded.spec, Preprocess(loaded.spec)
    train, test = loaded.dataset.train, loaded.dataset.test
    generator = np.random.default_rng(seed)
    model = build(spec, seed)
    learner = Learner(model, build_optimizer("sgd", dict(model.named_parameters())), step(rate))
    reservoir, watch, outcome = Reservoir(random.Random(seed)), Divergence(spec.class_count), Outcome()
    best: dict[str, Tensor] | None = None
    astray = 0
    swap = generator.permutation(spec.class_count)

    def told(label: np.ndarray, round: int) -> np.ndarray:
        if labels == "right" or round < rounds // 2:
            return label
        return swap[label] if labels == "swapped" else generator.integers(spec.class_count, size=len(label))

    def right(x: np.ndarray, label: list[int]) -> list[bool]:
        with torch.inference_mode():
            model.eval()
            answer = model(preprocess(torch.from_numpy(x))).argmax(1).tolist()
            model.train()
        return [a == b for a, b in zip(answer, label, strict=True)]

    def gate() -> Verdict:
        nonlocal best
        kept = reservoir.samples()
        rows, label = [row for _, row, _ in kept], [label for _, _, label in kept]
        mine = right(test.input[rows], label)
        outcome.accuracy = sum(mine) / max(1, len(mine))
        if best is None:
            verdict = Verdict.PROMOTED
        else:
            live = {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()}
            model.load_state_dict(best)
            pairs = Pairs.of(mine, right(test.input[rows], label))
            model.load_state_dict(live)
            verdict = judge([pairs], margin, 1e-4)
            outcome.lowest = min(outcome.lowest, pairs.difference)
        outcome.verdicts[verdict.value] += 1
        if verdict is Verdict.PROMOTED:
            best = {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()}
        return verdict

    drift = Drift(margin)
    limit = 2 * np.log(spec.class_count)
    for round in range(1, rounds + 1):
        for row in generator.integers(len(test), size=int(generator.binomial(ARRIVALS, 0.05))):
            reservoir.add(int(row), int(told(test.label[[row]], round)[0]))
        reservoir.after_round()
        rows = generator.integers(len(train), size=CANDIDATES)
        label = told(train.label[rows], round)
        wrong = 1 - sum(right(train.input[rows], label.tolist())) / CANDIDATES
        if (rise := drift.observe(wrong)) is not None:
            outcome.drifts.append((round, rise.before, rise.after))
        rows = generator.integers(len(train), size=BATCH)
        target = torch.from_numpy(told(train.label[rows], round)).long()
        report = learner.step(preprocess(torch.from_numpy(train.input[rows])), target, torch.ones(BATCH), round)
        astray = astray + 1 if report.finite and report.plain_loss > limit else 0
        outcome.longest_astray = max(outcome.longest_astray, astray)
        if stray := watch.observe(report.plain_loss, report.finite):
            outcome.alarms.append((round, stray.value))
            watch.begin_anew()
        if round % every == 0 and gate() is Verdict.FAILED:
            outcome.alarms.append((round, "GATE_FAILED"))
    return outcome


def main() -> None:
    """Run all seeds and print a line for each, then the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--labels", choices=("right", "random", "swapped"), default="right")
    parser.add_argument("--budget", type=float, default=60.0, help="minutes after which no further run is begun")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs, alarms, drifts, gates = 0, 0, 0, 0
    for seed in repeats(args.runs, args.budget):
        runs += 1
        found = run(args.task, seed, args.rounds, args.every, args.rate, args.margin, args.labels)
        alarms += bool(found.alarms)
        drifts += bool(found.drifts)
        gates += sum(found.verdicts.values())
        line = {**vars(found), "verdicts": dict(found.verdicts), "alarms": found.alarms[:4], "drifts": found.drifts[:4]}
        print(json.dumps({"seed": seed, **line}), flush=True)
    what = f"{args.task}, rate {args.rate:g}, labels {args.labels}"
    print(f"{what}: {alarms} of {runs} runs with an alarm, {drifts} with a drift, {gates} gates")


if __name__ == "__main__":
    main()
