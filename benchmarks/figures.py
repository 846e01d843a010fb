"""The figures of README.md: the few that say what it is like, each out of a kept result."""

from __future__ import annotations

import statistics

from benchmarks.measure import read
from benchmarks.paper import store as runs
from benchmarks.paper.arms import Condition, conditions
from benchmarks.paper.tables import markdown, rows
from benchmarks.variance import store as errors
from benchmarks.variance.trace import Conditions
from titand.config import SelectionConfig

METHODS = {"stratified": "two-stage", "predicted": "predicted"}  # of the variance's methods, by the filter
STAGE = 6000  # rounds of training behind it
TITLES = {
    "digits": "digits, small CNN",
    "fashion-cnn": "Fashion-MNIST, small CNN",
    "har": "MotionSense, MLP",
    "cifar-mobilenet": "CIFAR-10, MobileNetV1",
    "cifar-alexnet": "CIFAR-10, AlexNet",
    "cifar-squeezenet": "CIFAR-10, SqueezeNet",
    "cifar-resnet50": "CIFAR-10, ResNet50",
    "speech-cnn": "spoken words, small CNN",
    "speech-resnet34": "spoken words, ResNet34",
}
LEARNING = ("", "rounds", "as trained: rounds", "accuracy", "averaged: rounds", "accuracy")


def table() -> str:
    """Return both tables: the service, and what selection does for learning."""
    return f"{markdown(('', ''), [*_service(), _variance()])}\n\n{markdown(LEARNING, _learning())}\n"


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
    found: dict[str, dict[int, float]] = {task: {} for task in ("fashion-cnn", "har", "digits")}
    for record in errors.records().values():
        case, own = record.case, record.case.conditions
        plain = Conditions(own.task, own.seed, STAGE, whole_model=own.whole_model)
        is_wanted = case.method == method and own == plain and (case.batch_size, case.capacity) == (10, 30)
        if is_wanted and own.task in found:
            found[own.task][own.seed] = record.error.mean
    factors = (
        f"{1 / statistics.mean(each.values()):.0f} on {TITLES[task].split(',')[0]}" for task, each in found.items()
    )
    return f"variance of a random batch over that of the chosen one, after {STAGE:,} rounds", ", ".join(factors)


def _learning() -> list[tuple[str, ...]]:
    """Return a row for each task, of its longest runs: the default against random batches."""
    longest: dict[str, Condition] = {}
    for condition in conditions(runs.records()):
        if condition.is_plain and condition.reference is not None and _default(condition, averaged=True):
            task, rounds = condition.settings.task, condition.settings.rounds
            if task not in longest or longest[task].settings.rounds < rounds:
                longest[task] = condition
    return [
        (TITLES[task], f"{condition.settings.rounds:,}", *_default(condition, False), *_default(condition, True))
        for task, condition in longest.items()
    ]


def _default(condition: Condition, averaged: bool) -> tuple[str, ...]:
    """Return ratio and gap of the default, or nothing where it was not run."""
    for row in rows(condition, None, averaged):
        if row.arm.is_default:
            return str(row.ratio), f"{row.gap.value:+.1f} ({row.gap.low:+.1f} to {row.gap.high:+.1f})"
    return ()
