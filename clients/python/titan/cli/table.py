"""Samples from a .csv file: one row each, its label in one column, its values in the others."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TextIO

from titan.cli.output import Misused
from titan.cli.target import Piece, Target

LABEL_COLUMN = "label"


def pieces(path: str, target: Target, label_column: str | None = None) -> Iterator[Piece]:
    """Yield the rows in order.

    Args:
        path: of the file.
        target: what the daemon takes.
        label_column: its name, or its place from 0, or -1 for the last; by default "label" if the file has such a
            heading, else the last.
    """
    values: list[float] = []
    labels: list[int] = []
    with open(path, newline="", encoding="utf-8") as file:
        rows = enumerate(_rows(file, path), start=1)
        number, first = next(rows, (0, []))
        column = _place(first, label_column, path)
        if first and not _is_heading(first, column):
            _read(first, column, target, f"{path}:{number}", values, labels)
        for number, row in rows:
            if row:
                _read(row, column, target, f"{path}:{number}", values, labels)
            if len(labels) == target.piece_count:
                yield _piece(values, labels, target, path)
                values, labels = [], []
    if labels:
        yield _piece(values, labels, target, path)


def _rows(file: TextIO, path: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Misused(f"{path}: is no .csv file ({error})") from None


def _read(row: list[str], column: int, target: Target, where: str, values: list[float], labels: list[int]) -> None:
    try:
        said = row[column]
        numbers = [float(cell) for place, cell in enumerate(row) if place != column % len(row)]
    except (IndexError, ValueError) as error:
        raise Misused(f"{where}: {error}") from None
    wanted = target.spec.item_count
    if len(numbers) != wanted:
        raise Misused(f"{where}: {len(numbers)} values; the model takes {wanted} ({target.spec})")
    labels.append(target.label(said, where))
    values.extend(numbers)


def _piece(values: list[float], labels: list[int], target: Target, path: str) -> Piece:
    # Decimal text has no binary type of its own, so that floats may round; integers may not.
    return Piece(target.pack(values, path, exact=target.spec.data_type in ("uint8", "int16")), labels)


def _place(first: list[str], said: str | None, path: str) -> int:
    if said is None:
        return first.index(LABEL_COLUMN) if LABEL_COLUMN in first else -1
    if said in first:
        return first.index(said)
    if said.lstrip("-").isdecimal() and -len(first) <= int(said) < len(first):
        return int(said)
    raise Misused(f"{path}: has no column '{said}'; it has {', '.join(first[:12])}")


def _is_heading(row: list[str], column: int) -> bool:
    """Whether a first row names columns: values that are no numbers."""
    try:
        [float(cell) for place, cell in enumerate(row) if place != column % len(row)]
    except ValueError:
        return True
    return False
