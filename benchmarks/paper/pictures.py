"""The paper's other figures, from what is on file: variance, stability, costs, candidates, depth of the feature."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import RESULTS
from benchmarks.paper import costs, stability
from benchmarks.paper.arms import Arm, Condition
from benchmarks.paper.sections import Panel, Section, Table
from benchmarks.paper.statistics import Estimate, t_interval
from benchmarks.paper.tables import row
from benchmarks.paper.tasks import TASKS
from benchmarks.variance import store as variance
from benchmarks.variance.methods import METHODS
from benchmarks.variance.trace import Conditions

LATE = 6000  # rounds of training after which variance is compared
SELECTORS = ("is", "cis", "two-stage", "predicted")
FILTERS = ("rep-div", "uniform", "two-stage", "predicted", "limit")
MICROSECONDS = 1e6

Lines = dict[str, list[tuple[float, Estimate]]]


def all_of(folder: Path, conditions: Sequence[Condition]) -> list[Section]:
    """Return a section for each figure that there are measurements for."""
    found = [batch_sizes(), filters(), norms(folder), times(folder), sweep(conditions, "candidates")]
    found.append(sweep(conditions, "depth"))
    return [each for each in found if each is not None]


def batch_sizes() -> Section | None:
    """Fig. 2: variance against the batch size."""
    by_task = _variance(SELECTORS, lambda case: case.batch_size, lambda case: (case.conditions.stage, case.capacity))
    wanted = [
        Panel(task, "batch size", "variance / RS's", lines, is_log=True)
        for (task, fixed), lines in by_task.items()
        if fixed == (LATE, 30) and all(len(points) > 1 for points in lines.values())
    ]
    words = f"After {LATE:,} rounds; candidates C = 30. All figures: results-variance.md."
    return _section("variance-batch", "Variance against the batch size (Fig. 2)", wanted, words)


def filters() -> Section | None:
    """Fig. 5: variance behind each filter, by rounds of training."""
    by_task = _variance(FILTERS, lambda case: case.conditions.stage, lambda case: (case.batch_size, case.capacity))
    wanted = [
        Panel(task, "rounds of training", "variance / RS's", lines)
        for (task, fixed), lines in by_task.items()
        if fixed == (10, 30) and any(len(points) > 2 for points in lines.values())
    ]
    words = 'C = 30 of n = 100, B = 10. "The limit" is told the true importance. All figures: results-variance.md.'
    return _section("variance-filter", "Variance behind each filter (Fig. 5)", wanted, words)


def norms(folder: Path) -> Section | None:
    """Fig. 5: how long gradient norms stay what they are."""
    body, wanted = [], []
    for task in TASKS:
        measured = stability.read(folder / f"stability-{task}.json")
        if measured is None:
            continue
        lines: Lines = {}
        for stage, by_lag in measured.items():
            points = [(float(lag), t_interval(values)) for lag, values in zip(stability.LAGS, by_lag, strict=True)]
            lines[f"round {stage}"] = points
            body.append((task, str(stage), *(f"{each.value:.3f}" for _, each in points)))
        wanted.append(Panel(task, "rounds between", "correlation of norms", lines))
    header = ("task", "at round", *(f"{lag} rounds before" for lag in stability.LAGS))
    words = (
        "Pearson's correlation of 500 samples' gradient norms with those under parameters of some rounds before; "
        "a batch is scored with parameters that are two rounds old."
    )
    made: Table = ("", header, body)
    return _section("stability", "Stability of gradient norms over rounds (Fig. 5)", wanted, words, made)


def times(folder: Path) -> Section | None:
    """Fig. 6: round time one after the other and side by side, delay of a sample, memory."""
    body = []
    for task, about in TASKS.items():
        measured = costs.read(folder / f"costs-{task}.json")
        if measured is None:
            continue
        select = measured.select["titan-predicted"]
        service = _service(about.architecture)
        body.append(
            (
                task,
                f"{1000 * measured.train:.1f}",
                f"{1000 * select:.1f}",
                f"{1000 * measured.select['is']:.1f}",
                f"{1000 * (measured.train + select):.1f}",
                f"{1000 * max(measured.train, select):.1f}",
                f"{select / 100 * 1000:.2f}",
                *service,
            )
        )
    header = (
        "task",
        "train, ms",
        "select, ms",
        "IS selects, ms",
        "one after the other, ms",
        "side by side, ms",
        "a sample, ms",
        "service: alone, ms",
        "with selection, ms",
        "memory added, MB",
    )
    words = (
        "CPU time on one core of this machine, which others used meanwhile, at the widths of the scaled tasks; "
        "*select* is filter, scores and draw with predicted importance for n = 100 arrivals, *a sample* its hundredth. "
        "The last three columns are the running service at the paper's widths (`python -m benchmarks.pipeline`, "
        "`python -m benchmarks.memory`): a round without and with selection, on two cores. This machine has no "
        "meter of energy."
    )
    return _section("", "Time and memory (Fig. 6)", [], words, ("", header, body)) if body else None


def _service(architecture: str) -> tuple[str, str, str]:
    pipeline, memory = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("pipeline", "memory"))
    round_time, extra = pipeline.get(architecture), memory.get(architecture)
    return (
        f"{round_time['alone_ms']['median']:.1f}" if round_time else "",
        f"{round_time['together_ms']['median']:.1f}" if round_time else "",
        f"{extra['extra_megabytes']:.0f}" if extra else "",
    )


def sweep(conditions: Sequence[Condition], name: str) -> Section | None:
    """Fig. 10 (`candidates`) and Fig. 7, 9 (`depth`): arms that differ in one number alone."""
    titles = {
        "candidates": "Candidates that the filter keeps (Fig. 10)",
        "depth": "Depth of the filter's feature (Fig. 7 and 9)",
    }
    body, wanted = [], []
    for condition in conditions:
        families: dict[str, list[Arm]] = defaultdict(list)
        for arm in condition.arms.values():
            families[replace(arm, settings=arm.settings.but(candidates=30, depth=1)).title].append(arm)
        for title, family in families.items():
            family.sort(key=lambda arm: float(getattr(arm.settings, name)))
            varied = [arm for arm in family if len({getattr(each.settings, name) for each in family}) > 2]
            if not varied or condition.reference is None:
                continue
            points = []
            for arm in varied:
                found = row(arm, condition.reference, condition.settings.rounds, None, averaged=False)
                value = getattr(arm.settings, name)
                points.append((float(value), found.final))
                body.append((condition.settings.task, title, f"{value:g}", *found.cells()[1:7]))
            wanted.append(Panel(f"{condition.settings.task}: {title}", name, "final accuracy, %", {title: points}))
    header = ("task", "method", name, "rate", "seeds", "final accuracy %", "minus RS", "rounds", "rounds / RS's")
    return _section(name, titles[name], wanted, "", ("", header, body))


def _variance(
    methods: Sequence[str], x: Callable[[variance.Case], float], fixed: Callable[[variance.Case], tuple[int, int]]
) -> dict[tuple[str, tuple[int, int]], Lines]:
    """Return the error relative to RS, by task and what stays fixed, then by method."""
    values: dict[tuple[str, tuple[int, int]], dict[str, dict[float, list[float]]]] = defaultdict(
        lambda: {name: defaultdict(list) for name in methods}
    )
    for record in variance.records().values():
        case, about = record.case, record.case.conditions
        plain = Conditions(about.task, about.seed, about.stage, whole_model=about.whole_model)
        if about == plain and case.method in methods:
            values[about.task, fixed(case)][case.method][x(case)].append(record.error.mean)
    return {
        key: {
            METHODS[name].title: [(at, t_interval(found)) for at, found in sorted(points.items()) if len(found) > 1]
            for name, points in by_method.items()
        }
        for key, by_method in values.items()
    }


def _section(name: str, title: str, wanted: Sequence[Panel], words: str, *tables: Table) -> Section | None:
    if not wanted and not any(body for _, _, body in tables):
        return None
    return Section(name, title, tables, _drawn(wanted), words)


def _drawn(wanted: Sequence[Panel]) -> bytes | None:
    if not wanted:
        return None
    try:
        from benchmarks.paper import figures
    except ImportError:
        return None
    return figures.panels(wanted)
