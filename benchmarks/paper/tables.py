"""The published figures, as rows of text: what each arm reaches, and when it reaches what random selection does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.paper.arms import Arm, Condition
from benchmarks.paper.costs import Costs
from benchmarks.paper.statistics import (
    Curves,
    Estimate,
    difference,
    ratio_to_target,
    shares_to_target,
    t_interval,
)

SHARES = (0.25, 0.5, 0.75, 1.0)  # of a run, at which RS sets targets
HEADER = ("method", "rate", "seeds", "final accuracy %", "minus RS", "rounds", "rounds / RS's", "time / RS's", "gain")


@dataclass(frozen=True)
class Row:
    """An arm at its best rate beside the reference at its best.

    Attributes:
        arm: whose row it is.
        rate: of its highest final accuracy.
        final: mean final accuracy in percent.
        gap: final accuracy minus the reference's, paired by seed.
        rounds: after which its mean curve reaches the reference's final accuracy; all of them if never.
        is_reached: whether it does.
        ratio: of these rounds to the reference's own.
        seconds_ratio: one round by the clock over one of the reference; None without measured costs.
    """

    arm: Arm
    rate: float
    final: Estimate
    gap: Estimate
    rounds: int
    is_reached: bool
    ratio: Estimate
    seconds_ratio: float | None

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of `HEADER`."""
        half = self.final.high - self.final.value
        gain = self.arm.gain[self.rate]
        time = "" if self.seconds_ratio is None else f"{self.ratio.value * self.seconds_ratio:.2f}"
        return (
            self.arm.title,
            f"{self.rate:g}",
            str(len(self.arm.seeds[self.rate])),
            f"{self.final.value:.1f} ± {half:.1f}",
            f"{self.gap.value:+.1f} ({self.gap.low:+.1f} to {self.gap.high:+.1f})",
            f"{self.rounds:,}" if self.is_reached else "never",
            str(self.ratio),
            time,
            "" if gain is None else f"{gain:.1f}",
        )


def rows(condition: Condition, costs: Costs | None, averaged: bool = False) -> list[Row]:
    """Return a row for each arm, the reference first; none without a reference."""
    reference = condition.reference
    if reference is None:
        return []
    return [row(arm, reference, condition.settings.rounds, costs, averaged) for arm in condition.arms.values()]


def row(arm: Arm, reference: Arm, rounds: int, costs: Costs | None, averaged: bool, rate: float | None = None) -> Row:
    """Compare an arm, at its best rate unless one is given, with the reference at its own best."""
    rate = arm.best_rate(averaged) if rate is None else rate
    of_arm = (arm.averaged if averaged else arm.curves)[rate]
    own, other = against(arm, reference, averaged, rate)
    share, _ = shares_to_target(own, other)
    seconds_ratio = None
    if costs is not None:
        seconds = {name: costs.round_seconds(name) for name in (arm.settings.method, reference.settings.method)}
        seconds_ratio = seconds[arm.settings.method] / seconds[reference.settings.method]
    return Row(
        arm,
        rate,
        t_interval(of_arm[:, -1].tolist()),
        difference(own, other),
        round(share * rounds),
        bool((own.mean(axis=0) >= other.mean(axis=0)[-1]).any()),
        ratio_to_target(own, other),
        seconds_ratio,
    )


def against(arm: Arm, reference: Arm, averaged: bool, rate: float | None = None) -> tuple[Curves, Curves]:
    """Return an arm's curves, at its best rate unless one is given, and the reference's at its own, paired by seed."""
    own = arm.best_rate(averaged) if rate is None else rate
    other = reference.best_rate(averaged)
    a, b = (each.averaged if averaged else each.curves for each in (arm, reference))
    return paired(a[own], arm.seeds[own], b[other], reference.seeds[other])


def paired(a: Curves, a_seeds: Sequence[int], b: Curves, b_seeds: Sequence[int]) -> tuple[Curves, Curves]:
    """Return the rows of both that are of the same seeds, in the order of the seeds."""
    common = sorted(set(a_seeds) & set(b_seeds))
    return (
        a[[list(a_seeds).index(seed) for seed in common]],
        b[[list(b_seeds).index(seed) for seed in common]],
    )


def search(condition: Condition, averaged: bool = False) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the learning-rate search: header and rows, final accuracy of each arm at each rate it was run at."""
    rates = sorted({rate for arm in condition.arms.values() for rate in arm.curves})
    body = []
    for arm in condition.arms.values():
        curves: Mapping[float, Curves] = arm.averaged if averaged else arm.curves
        body.append((arm.title, *(_final(curves[rate]) if rate in curves else "" for rate in rates)))
    return ("method", *(f"rate {rate:g}" for rate in rates)), body


def early(condition: Condition, averaged: bool = False) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows: rounds to what RS has reached early on, over the rounds that RS takes for it.

    A run that ends on a plateau says little about speed at its end, so targets on the way are shown too.
    """
    reference = condition.reference
    if reference is None:
        return (), []
    body = []
    for arm in condition.arms.values():
        own, other = against(arm, reference, averaged)
        body.append((arm.title, *(str(ratio_to_target(own, other, share)) for share in SHARES)))
    return ("method", *(f"RS after {share:.0%}" for share in SHARES)), body


def _final(curves: Curves) -> str:
    estimate = t_interval(np.asarray(curves[:, -1]).tolist())
    return f"{estimate.value:.1f} ± {estimate.high - estimate.value:.1f}"


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table.

    >>> print(markdown(("a", "b"), [("1", "2")]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
