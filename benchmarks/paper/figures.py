"""Pictures as PNG. Importing this needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.paper.arms import Arm, Condition
from benchmarks.paper.sections import Panel
from benchmarks.paper.statistics import T_95

matplotlib.use("agg")

MOST_ARMS = 6


def curves(condition: Condition) -> bytes:
    """Return accuracy against rounds, arms at their best rates, bands of 95 % over seeds.

    Of more arms than can be told apart, those of Table I are drawn.
    """
    arms = list(condition.arms.values())
    if len(arms) > MOST_ARMS:
        arms = [arm for arm in arms if arm.is_default or arm.is_plain]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, averaged in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        for arm in arms:
            _draw(axes, arm, condition, averaged)
        axes.set_title("averaged parameters" if averaged else "as trained")
        axes.set_xlabel("rounds")
        axes.grid(alpha=0.3)
        top = max(float(arm.averaged[arm.best_rate(True)].mean(axis=0).max()) for arm in arms)
        axes.set_ylim(max(0.0, top - 25), top + 2)
    figure.axes[0].set_ylabel("accuracy on data never streamed, %")
    figure.axes[1].legend(fontsize="x-small")
    return png(figure)


def panels(wanted: Sequence[Panel]) -> bytes:
    """Return panels side by side, intervals of 95 % as bars."""
    figure = Figure(figsize=(4.6 * len(wanted), 3.8), layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(wanted))), wanted, strict=True):
        for name, points in panel.lines.items():
            at = [x for x, _ in points]
            value = [each.value for _, each in points]
            bars = [[each.value - each.low for _, each in points], [each.high - each.value for _, each in points]]
            axes.errorbar(at, value, bars, label=name, linewidth=1.2, capsize=2, marker="o", markersize=3)
        if panel.is_log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file that are equal for equal figures."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Axes, arm: Arm, condition: Condition, averaged: bool) -> None:
    rate = arm.best_rate(averaged)
    rows = (arm.averaged if averaged else arm.curves)[rate]
    at = condition.settings.evaluate_every * np.arange(1, rows.shape[1] + 1)
    mean = rows.mean(axis=0)
    half = T_95[min(len(rows) - 1, len(T_95)) - 1] * rows.std(axis=0, ddof=1) / len(rows) ** 0.5
    (line,) = axes.plot(at, mean, label=f"{arm.title}, rate {rate:g}", linewidth=1.2)
    axes.fill_between(at, mean - half, mean + half, color=line.get_color(), alpha=0.15)
