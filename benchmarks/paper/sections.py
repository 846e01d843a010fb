"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.paper.statistics import Estimate

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # caption, header, body


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name: of its picture's file.
        title: heading.
        tables: caption, header and body of each.
        figure: a PNG; None where there is nothing to draw, or no matplotlib.
        words: what stands before the tables.
    """

    name: str
    title: str
    tables: tuple[Table, ...]
    figure: bytes | None = None
    words: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines in one pair of axes.

    Attributes:
        title: above it.
        x: what stands below it.
        y: what stands beside it.
        lines: by name; where each point lies, with its interval.
        is_log: whether both axes are logarithmic.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, Estimate]]]
    is_log: bool = False
