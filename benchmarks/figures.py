"""The figures of README.md: the few that say what it is like, each out of a kept result."""

from __future__ import annotations

import statistics

from benchmarks.measure import read
from benchmarks.paper.tables import markdown
from benchmarks.variance import store
from benchmarks.variance.trace import Conditions
from titand.config import SelectionConfig

METHODS = {"stratified": "two-stage", "predicted": "predicted"}  # of the variance's methods, by the filter
STAGE = 6000  # rounds of training behind it
NAMES = {"fashion-cnn": "Fashion-MNIST", "har": "MotionSense", "digits": "digits"}


def table() -> str:
    """Return the table."""
    return markdown(("", ""), [*_service(), _variance()]) + "\n"


def _service() -> list[tuple[str, str]]:
    ingest, start, memory = read("ingest"), read("start"), read("memory")
    rate, ratio = ingest["samples_per_second"]["median"], ingest["server_cpu_over_raw"]["median"]
    first = start["first_accepted_seconds"]["median"]
    extra = {name: round(memory[name]["extra_megabytes"]) for name in ("mlp", "mobilenet_v1")}
    return [
        (
            "images of 3 KB taken in, batches of 32, acknowledged",
            f"{round(rate, -4):,.0f} per second, {ratio:.1f} times the CPU of a bare socket",
        ),
        ("start to first accepted sample", f"{first:.1f} s, while torch is still loading"),
        (
            "whole service over a bare training loop",
            f"{extra['mlp']} MB for an MLP, {extra['mobilenet_v1']} MB for MobileNetV1",
        ),
    ]


def _variance() -> tuple[str, str]:
    """Return what the default filter and C-IS leave of the variance of a random batch, by task."""
    method = METHODS[SelectionConfig().filter]
    errors: dict[str, dict[int, float]] = {name: {} for name in NAMES}
    for record in store.records().values():
        case = record.case
        plain = Conditions(case.conditions.task, case.conditions.seed, STAGE, whole_model=case.conditions.whole_model)
        if case.method == method and case.conditions == plain and (case.batch_size, case.capacity) == (10, 30):
            errors.setdefault(case.conditions.task, {})[case.conditions.seed] = record.error.mean
    told = ", ".join(f"{1 / statistics.mean(errors[task].values()):.1f} on {name}" for task, name in NAMES.items())
    return f"variance of a random batch over that of the chosen one, unbiased, after {STAGE:,} rounds", f"{told}"
