"""The published page, rebuilt from the measurements on file."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.paper.statistics import t_interval
from benchmarks.paper.tables import markdown
from benchmarks.paper.tasks import TASKS
from benchmarks.variance import store
from benchmarks.variance.methods import METHODS
from benchmarks.variance.store import Record
from benchmarks.variance.trace import Conditions

PAGE = Path(__file__).parents[2] / "docs" / "results-variance.md"
HEAD = """# Variance of the batch gradient

Rebuilt by `python -m benchmarks.variance report` from `benchmarks/results/variance/`; do not edit.

Mean squared error of the batch's (weighted) gradient against the mean gradient of the whole window, **divided by that
of uniform random selection (RS) on the same windows**: below 1 is better than RS, 0.1 means that ten times fewer
samples would do. A model is trained by RS up to a stage and then held still; predictors have learned on up to 300
windows before it. Mean over seeds with the 95 % interval by Student's t; each seed is another model, another stream, 60
windows and 5 draws of each. Without more words: window n = 100, batch B = 10, candidates C = 30, the last layer's
gradient. Biased methods are charged for their bias. What is divided by is known in closed form; the row RS is drawn
like the others, and shows by how much chance alone misses 1.
"""

Cell = tuple[Conditions, str, int, int]
Groups = dict[Cell, list[Record]]


def write(folder: Path = store.FOLDER, page: Path = PAGE) -> None:
    """Rebuild the page."""
    page.write_text(text(store.records(folder).values()))


def text(records: Iterable[Record]) -> str:
    """Return the page."""
    by_seed: dict[Cell, dict[int, Record]] = defaultdict(dict)
    for record in records:  # of a seed that was measured with and without the whole model, the later one counts
        case = record.case
        common = dataclasses.replace(case.conditions, seed=0, whole_model=False)
        by_seed[common, case.method, case.batch_size, case.capacity][case.conditions.seed] = record
    groups = {cell: list(found.values()) for cell, found in by_seed.items()}
    tasks = [name for name in TASKS if any(cell[0].task == name for cell in groups)]
    parts = [HEAD]
    for task in tasks:
        own = {cell: found for cell, found in groups.items() if cell[0].task == task}
        parts += [f"## {task}\n", *_by_stage(own), *_sweeps(own)]
    unmeasured = [name for name in TASKS if name not in tasks]
    if unmeasured:
        parts.append(f"Not measured yet: {', '.join(unmeasured)}.\n")
    commands = sorted({str(record.origin["command"]) for found in groups.values() for record in found})
    machines = sorted({str(record.origin["machine"]) for found in groups.values() for record in found})
    parts += ["## How\n", *(f"    {command}" for command in commands), "", f"Measured on {'; '.join(machines)}."]
    return "\n".join(parts) + "\n"


def _by_stage(groups: Groups) -> list[str]:
    """Return the main tables: methods by rounds of training; mean, then the whole model's."""
    plain = {cell: found for cell, found in groups.items() if _is_plain(cell[0]) and cell[2:] == (10, 30)}
    stages = sorted({cell[0].stage for cell in plain})
    if not stages:
        return []
    parts = []
    for title, value in (
        ("Last layer", lambda record: record.error.mean),
        ("All layers", lambda record: record.error.whole_mean),
    ):
        body = [(METHODS[name].title, *(_cell(_at(plain, stage, name), value) for stage in stages)) for name in METHODS]
        body = [row for row in body if any(row[1:])]
        if body:
            header = (f"{title}, after", *(f"{stage:,} rounds" for stage in stages))
            parts += [markdown(header, body), ""]
    return parts


def _at(groups: Groups, stage: int, method: str) -> list[Record]:
    return [
        record for cell, found in groups.items() if cell[0].stage == stage and cell[1] == method for record in found
    ]


def _is_plain(conditions: Conditions) -> bool:
    return conditions == Conditions(conditions.task, 0, conditions.stage)


SWEEPS: Sequence[tuple[str, Callable[[Cell], float]]] = (
    ("B", lambda cell: cell[2]),
    ("C", lambda cell: cell[3]),
    ("n", lambda cell: cell[0].window),
    ("classes", lambda cell: cell[0].classes),
    ("label noise", lambda cell: cell[0].noise),
    ("imbalance", lambda cell: cell[0].imbalance),
)
DEFAULTS = {"B": 10, "C": 30, "n": 100, "classes": 0, "label noise": 0.0, "imbalance": 1.0}


def _sweeps(groups: Groups) -> list[str]:
    """Return a table for each thing that was varied alone, at each stage."""
    parts = []
    for name, of in SWEEPS:
        others = [(other, read) for other, read in SWEEPS if other != name]
        varied = {
            cell: found
            for cell, found in groups.items()
            if all(read(cell) == DEFAULTS[other] for other, read in others)
        }
        for stage in sorted({cell[0].stage for cell in varied}):
            here = {cell: found for cell, found in varied.items() if cell[0].stage == stage}
            values = sorted({of(cell) for cell in here}, key=lambda value: (name == "classes" and not value, value))
            if len(values) > 1:
                parts += [_sweep(f"{name}, after {stage:,} rounds", here, of, values), ""]
    return parts


def _sweep(title: str, groups: Groups, of: Callable[[Cell], float], values: Sequence[float]) -> str:
    body = []
    for method in METHODS:
        own = {of(cell): found for cell, found in groups.items() if cell[1] == method}
        if len(own) > 1:
            row = (_cell(own.get(value, []), lambda record: record.error.mean) for value in values)
            body.append((METHODS[method].title, *row))
    return markdown((title, *(_named(title, value) for value in values)), body)


def _named(title: str, value: float) -> str:
    return f"{value:g}" if value else "all" if title.startswith("classes") else "none"


def _cell(found: Sequence[Record], value: Callable[[Record], float | None]) -> str:
    values = [each for record in found if (each := value(record)) is not None]
    if not values:
        return ""
    estimate = t_interval(values)
    if len(values) < 2:
        return f"{estimate.value:.3f} (1 seed)"
    return f"{estimate.value:.3f} ± {estimate.high - estimate.value:.3f}"
