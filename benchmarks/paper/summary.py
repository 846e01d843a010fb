"""Table I of the paper, and the same from the runs on file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.paper import costs
from benchmarks.paper.arms import REFERENCE, Arm, Condition
from benchmarks.paper.costs import Costs
from benchmarks.paper.methods import METHODS
from benchmarks.paper.sections import Section
from benchmarks.paper.tables import Row, rows

COLUMNS = ("rs", "is", "ll", "hl", "ce", "ocs", "camel", "titan")
PAPER: Mapping[str, Sequence[tuple[float, float]]] = {  # time to RS's final accuracy, final accuracy in percent
    "cifar-alexnet": (
        (1.00, 71.2), (3.25, 73.5), (3.98, 18.2), (3.98, 34.3), (3.59, 71.6), (4.06, 62.3), (2.07, 71.3), (0.70, 74.5),
    ),
    "cifar-mobilenet": (
        (1.00, 69.2), (3.22, 69.5), (3.45, 17.7), (3.45, 13.9), (3.41, 69.6), (3.67, 38.1), (1.15, 68.7), (0.57, 75.4),
    ),
    "cifar-squeezenet": (
        (1.00, 76.2), (3.96, 73.0), (3.97, 18.3), (3.97, 45.0), (3.04, 78.0), (4.06, 40.7), (2.07, 75.6), (0.69, 79.0),
    ),
    "cifar-resnet50": (
        (1.00, 76.5), (2.32, 78.0), (3.14, 22.3), (3.14, 34.9), (2.20, 81.7), (2.18, 27.3), (1.11, 76.8), (0.66, 81.1),
    ),
    "speech-resnet34": (
        (1.00, 76.0), (2.04, 78.7), (3.14, 14.7), (3.14, 58.8), (2.96, 73.2), (3.19, 59.4), (0.81, 76.5), (0.77, 79.8),
    ),
    "har": (
        (1.00, 75.5), (3.56, 77.5), (6.30, 45.5), (6.47, 21.8), (5.28, 60.9), (14.4, 68.0), (12.5, 75.6), (0.71, 76.7),
    ),
}  # fmt: skip
FASTER = 10.0  # than the trainer's core: a small accelerator
HEADER = (
    "task",
    "method",
    "rate",
    "seeds",
    "rounds / RS's",
    "time / RS's",
    f"time, accelerator x {FASTER:g}",
    "final accuracy %",
    "minus RS",
    "paper",
)
WORDS = """\
Each method at the rate of its own highest final accuracy among those that it was run at. *titan* is the service's
default; *titan, stratified filter, unbiased weights* what was the default before. *time*: the rounds times what one
costs by the clock, measured, with selection on a second core like the trainer's; *accelerator x 10*: calculated for one
that selects ten times faster, for every method, and trains nothing. *paper*: its time to RS's final
accuracy over RS's own, and its final accuracy, at full width and to the end of training.
"""


def sections(conditions: Sequence[Condition], folder: Path) -> list[Section]:
    """Return Table I as trained, and with averaged parameters."""
    made = []
    for averaged in (False, True):
        body: list[tuple[str, ...]] = []
        for condition in conditions:
            if condition.is_plain and condition.reference is not None:
                measured = costs.read(folder / f"costs-{condition.settings.task}.json")
                found = [each for each in rows(condition, measured, averaged) if _name(each.arm)]
                if any(each.arm.is_default for each in found):
                    body += [_cells(condition, each, measured) for each in found]
        title = "Time to RS's final accuracy (Table I)" + (", averaged parameters" if averaged else "")
        made.append(Section("", title, (("", HEADER, body),), words=WORDS))
    return [each for each in made if each.tables[0][2]]


def _cells(condition: Condition, row: Row, measured: Costs | None) -> tuple[str, ...]:
    task, arm = condition.settings.task, row.arm
    fast = ""
    if measured is not None:
        own, other = (measured.round_seconds(name, FASTER) for name in (arm.settings.method, REFERENCE))
        fast = f"{row.ratio.value * own / other:.2f}"
    _, rate, seeds, final, gap, _, ratio, time, _ = row.cells()
    name = "titan" if arm.is_default else arm.settings.method
    at = COLUMNS.index(name) if name in COLUMNS and (arm.is_default or name != "titan") else None
    published = PAPER[task][at] if task in PAPER and at is not None else None
    paper = f"{published[0]:.2f}, {published[1]:.1f} %" if published else ""
    return (
        f"{task}, {condition.settings.rounds:,} rounds",
        _name(arm),
        rate,
        seeds,
        ratio,
        time,
        fast,
        final,
        gap,
        paper,
    )


def _name(arm: Arm) -> str:
    if arm.is_default:
        return "titan"
    if not arm.is_plain:
        return ""
    return (
        "titan, stratified filter, unbiased weights"
        if arm.settings.method == "titan"
        else METHODS[arm.settings.method].title
    )
