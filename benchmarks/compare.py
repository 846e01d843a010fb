"""Figures of a scaled run beside the kept ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.paper.tables import markdown

HEADER = ("figure", "kept", "now", "now / kept")
ASIDE = ("machine", "by_process")
Plain = Mapping[str, Any]


def report(kept: Path, now: Path) -> str:
    """Return a page with a table for each result in the folder `now`, and both machines.

    A noisy machine moves times by half; ratios within one run are what should agree.
    """
    parts = ["# Kept results, and those of this run\n"]
    for path in sorted(now.glob("*.json")):
        if not (kept / path.name).is_file():
            continue
        before, after = (json.loads((folder / path.name).read_text()) for folder in (kept, now))
        parts.append(f"## {path.stem}\n\nKept: {_origin(before)}. Now: {_origin(after)}.\n")
        parts.append(markdown(HEADER, rows(before, after)) + "\n")
    return "\n".join(parts)


def rows(kept: Plain, now: Plain) -> list[tuple[str, ...]]:
    """Return a row for each figure that both have, in the order of `kept`.

    >>> rows({"ms": {"median": 2.0, "least": 1.5, "most": 3.0}}, {"ms": {"median": 1.0, "least": 1.0, "most": 1.0}})
    [('ms', '2 (1.5 to 3)', '1 (1 to 1)', '0.50')]
    """
    after = dict(_figures(now))
    found: list[tuple[str, ...]] = []
    for name, value in _figures(kept):
        if name in after:
            ratio = f"{_middle(after[name]) / _middle(value):.2f}" if _middle(value) else ""
            found.append((name, _text(value), _text(after[name]), ratio))
    return found


def _figures(plain: Plain, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of each number and each summary."""
    for key, value in plain.items():
        if isinstance(value, (int, float)) or (isinstance(value, Mapping) and "median" in value):
            yield prefix + key, value
        elif isinstance(value, Mapping) and key not in ASIDE:
            yield from _figures(value, f"{prefix}{key} ")


def _middle(value: Any) -> float:
    return float(value["median"] if isinstance(value, Mapping) else value)


def _text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"{value:.4g}"
    return f"{value['median']:.4g} ({value['least']:.4g} to {value['most']:.4g})"


def _origin(result: Plain) -> str:
    machine = result["machine"]
    return (
        f"`{result['command']}`, {machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}"
    )
