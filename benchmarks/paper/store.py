"""Finished runs on file: one JSON line for each, in one file for each task; lines are only ever added."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS
from benchmarks.paper.run import Curve, plain
from benchmarks.paper.settings import Settings, settings_of

FOLDER = RESULTS / "paper"


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        settings: of the run.
        curve: what it gave.
        origin: command, revision and machine.
    """

    settings: Settings
    curve: Curve
    origin: Mapping[str, Any]


def append(record: Record, folder: Path = FOLDER) -> None:
    """Add a run to its task's file, in one write."""
    folder.mkdir(parents=True, exist_ok=True)
    line = {"settings": record.settings.plain(), **plain(record.curve), "origin": dict(record.origin)}
    text = json.dumps(line, separators=(",", ":")) + "\n"
    with (folder / f"{record.settings.task}.jsonl").open("ab", buffering=0) as file:
        file.write(text.encode())


def records(folder: Path = FOLDER) -> list[Record]:
    """Return all runs on file; of two with equal settings, the later one."""
    found: dict[str, Record] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            record = _record(json.loads(line))
            found[record.settings.key] = record
    return list(found.values())


def missing(wanted: Iterable[Settings], folder: Path = FOLDER) -> list[Settings]:
    """Return which of the wanted runs are not on file, in their order, each once."""
    there = {record.settings.key for record in records(folder)}
    return [each for each in {each.key: each for each in wanted}.values() if each.key not in there]


def _record(line: dict[str, Any]) -> Record:
    settings, origin = settings_of(line.pop("settings")), line.pop("origin")
    accuracy, average = tuple(line["accuracy"]), tuple(line["average_accuracy"])
    return Record(settings, Curve(accuracy, average, line["gain"], line["refused"], line["seconds"]), origin)
