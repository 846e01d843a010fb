"""Measured errors on file: one JSON line for each, in one file for each task; a later line replaces an equal one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS
from benchmarks.variance.error import Error
from benchmarks.variance.trace import Conditions

FOLDER = RESULTS / "variance"


@dataclass(frozen=True)
class Case:
    """One measurement to make.

    Attributes:
        conditions: of the trace.
        method: a name of `methods.METHODS`.
        batch_size: draws, B.
        capacity: candidates behind the filter, C.
    """

    conditions: Conditions
    method: str
    batch_size: int = 10
    capacity: int = 30

    @property
    def key(self) -> str:
        """A text that is equal for equal cases only."""
        return f"{self.conditions.name} {self.method} B{self.batch_size} C{self.capacity}"


@dataclass(frozen=True)
class Record:
    """A case, what it gave, and where: command, revision, machine."""

    case: Case
    error: Error
    origin: Mapping[str, Any]


def append(record: Record, folder: Path = FOLDER) -> None:
    """Add a measurement to its task's file, in one write."""
    folder.mkdir(parents=True, exist_ok=True)
    line = {
        "conditions": _different(record.case.conditions),
        "method": record.case.method,
        "batch_size": record.case.batch_size,
        "capacity": record.case.capacity,
        "error": {
            name: value if value is None else float(f"{value:.4g}") for name, value in vars(record.error).items()
        },
        "origin": dict(record.origin),
    }
    text = json.dumps(line, separators=(",", ":")) + "\n"
    with (folder / f"{record.case.conditions.task}.jsonl").open("ab", buffering=0) as file:
        file.write(text.encode())


def records(folder: Path = FOLDER) -> dict[str, Record]:
    """Return all measurements on file by key, in the order of the keys' first lines."""
    found: dict[str, Record] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            case = Case(Conditions(**line["conditions"]), line["method"], line["batch_size"], line["capacity"])
            found[case.key] = Record(case, Error(**line["error"]), line["origin"])
    return found


def _different(conditions: Conditions) -> dict[str, Any]:
    """Return what differs from the defaults, so that a condition added later changes no earlier case."""
    return {
        field.name: getattr(conditions, field.name)
        for field in dataclasses.fields(Conditions)
        if field.name in ("task", "seed") or getattr(conditions, field.name) != field.default
    }
