"""Kept runs, put together: arms that were run under equal conditions, each at several rates and seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.paper.methods import METHODS
from benchmarks.paper.settings import Settings
from benchmarks.paper.statistics import Curves, smoothed
from benchmarks.paper.store import Record
from benchmarks.paper.tasks import TASKS

REFERENCE = "rs"
DEFAULT = Settings("", "titan-predicted", 0.0, 0, 0, least=0.1, rule="contradiction")  # what the service does
LEAST_SEEDS = 5  # fewer are shown nowhere: seeds differ by more than methods do
OWN = ("method", "candidates", "beta", "least", "rule", "rate_rule", "replay", "delay", "depth")


@dataclass(frozen=True)
class Arm:
    """One method with its options, under one condition.

    Attributes:
        settings: of its runs, but for rate and seed.
        curves: by rate; [S, P] smoothed accuracy in percent, row s of seed `seeds[rate][s]`.
        averaged: likewise, of the averaged parameters.
        seeds: at each rate, in ascending order.
        gain: geometric mean of the variance ratio, at each rate; None where there is none.
    """

    settings: Settings
    curves: Mapping[float, Curves]
    averaged: Mapping[float, Curves]
    seeds: Mapping[float, tuple[int, ...]]
    gain: Mapping[float, float | None]

    @property
    def is_default(self) -> bool:
        """Whether it is what the service does."""
        return all(getattr(self.settings, name) == getattr(DEFAULT, name) for name in OWN)

    @property
    def is_plain(self) -> bool:
        """Whether its method has no option of its own."""
        plain = Settings("", self.settings.method, 0.0, 0, 0)
        return all(getattr(self.settings, name) == getattr(plain, name) for name in OWN)

    @property
    def title(self) -> str:
        """Name for tables, with what differs from the method's defaults."""
        own, method = self.settings, METHODS[self.settings.method]
        options = [f"C {own.candidates}"] if method.rule and own.candidates != 30 else []
        options += [own.rule] if own.rule else [f"beta {own.beta:g}"] if own.beta != 1 else []
        options += [f"least {own.least:g}"] if own.least != 1e-6 else []
        options += [own.rate_rule] if own.rate_rule else []
        options += [f"replay {own.replay:g}"] if own.replay else []
        options += ["no delay"] if not own.delay else []
        options += [f"depth {own.depth}"] if own.depth > 1 else []
        return ", ".join([method.title, *options])

    def best_rate(self, averaged: bool = False) -> float:
        """Return the rate of the highest final accuracy, on average over the seeds."""
        curves = self.averaged if averaged else self.curves
        return max(curves, key=lambda rate: float(curves[rate][:, -1].mean()))


@dataclass(frozen=True)
class Condition:
    """Arms that may be compared: same task, same data, same number of rounds.

    Attributes:
        settings: what they have in common.
        arms: by title; the reference first.
    """

    settings: Settings
    arms: Mapping[str, Arm]

    @property
    def title(self) -> str:
        """What is special about it."""
        common = self.settings
        parts = [f"{common.rounds} rounds", f"n = {common.window}", f"B = {common.batch}"]
        parts += [f"{100 * common.noise:g} % label noise"] if common.noise else []
        parts += [f"imbalance {common.imbalance:g}"] if common.imbalance > 1 else []
        parts += [f"order: {common.stream}"] if common.stream != "shuffled" else []
        parts += [f"momentum {common.momentum:g}"] if common.momentum else []
        parts += [f"rate x {common.decay:g} every {common.decay_rounds} rounds"]
        scale = "full size" if common.full else TASKS[common.task].scale
        return f"{common.task}: " + ", ".join([*parts, scale] if scale else parts)

    @property
    def name(self) -> str:
        """A file name that is equal for equal conditions only.

        >>> Condition(Settings("har", "rs", 0.0, 0, 2000, noise=0.2), {}).name
        'har-rounds-2000-noise-0.2'
        """
        plain = self.settings.but(rate=0.0, seed=0).plain()
        own = {name: value for name, value in plain.items() if name not in ("task", "method", "rate", "seed")}
        return "-".join([self.settings.task, *(f"{name}-{value}" for name, value in own.items())])

    @property
    def is_plain(self) -> bool:
        """Whether it is the task as the paper has it: no noise, no imbalance, no order, no momentum."""
        own = self.settings
        return self.settings == Settings(
            own.task, own.method, own.rate, own.seed, own.rounds, full=own.full, evaluate_every=own.evaluate_every
        )

    @property
    def reference(self) -> Arm | None:
        """The arm that sets the target."""
        return next((arm for arm in self.arms.values() if arm.settings.method == REFERENCE), None)


def conditions(records: Iterable[Record]) -> list[Condition]:
    """Group runs. A rate counts for an arm where it has at least `LEAST_SEEDS` seeds."""
    grouped: dict[Settings, dict[Settings, dict[float, dict[int, Record]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for record in records:
        own = record.settings.but(rate=0.0, seed=0)
        grouped[_common(own)][own][record.settings.rate][record.settings.seed] = record
    found = []
    for common, by_arm in grouped.items():
        arms = [arm for own, by_rate in by_arm.items() if (arm := _arm(own, by_rate)) is not None]
        if arms:
            arms.sort(key=lambda arm: (list(METHODS).index(arm.settings.method), arm.title))
            found.append(Condition(common, {arm.title: arm for arm in arms}))
    return sorted(
        found, key=lambda condition: (condition.settings.task, len(condition.settings.plain()), condition.settings.key)
    )


def _common(settings: Settings) -> Settings:
    defaults = Settings(settings.task, REFERENCE, 0.0, 0, settings.rounds)
    return settings.but(**{name: getattr(defaults, name) for name in OWN})


def _arm(settings: Settings, by_rate: Mapping[float, Mapping[int, Record]]) -> Arm | None:
    rates = sorted(rate for rate, by_seed in by_rate.items() if len(by_seed) >= LEAST_SEEDS)
    if not rates:
        return None
    rows = {rate: [by_rate[rate][seed] for seed in sorted(by_rate[rate])] for rate in rates}
    return Arm(
        settings,
        {rate: smoothed(np.array([each.curve.accuracy for each in row]) / 100) for rate, row in rows.items()},
        {rate: smoothed(np.array([each.curve.average_accuracy for each in row]) / 100) for rate, row in rows.items()},
        {rate: tuple(sorted(by_rate[rate])) for rate in rates},
        {rate: _geometric([each.curve.gain for each in row]) for rate, row in rows.items()},
    )


def _geometric(gains: list[float | None]) -> float | None:
    known = [gain for gain in gains if gain]
    return float(np.exp(np.log(known).mean())) if known else None
