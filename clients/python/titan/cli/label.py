"""titanctl label: labels for samples that were pushed without one, and corrections."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from titan.cli.connect import client
from titan.cli.output import Misused, Output
from titan.cli.target import class_id

DONE = ("joined", "corrected", "unchanged")
HEADING = ["number", "label"]


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "label",
        parents=[everywhere],
        help="label samples that were pushed without a label, or correct labels",
        description="Label one sample, or all those in a file of number,label rows.",
    )
    parser.add_argument("number", nargs="?", type=int, help="the number that it was given when it was accepted")
    parser.add_argument("label", nargs="?", help="a class, by its name or its id")
    parser.add_argument("--csv", metavar="FILE", help="rows of a number and a label, with or without a heading")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    if (args.csv is None) == (args.label is None):
        raise Misused("give either a number and a label, or --csv FILE")
    with client(args) as titan:
        model = titan.training().model
        names = () if model is None else model.labels
        rows = [(args.number, args.label, "label")] if args.csv is None else list(_rows(args.csv))
        numbers = [number for number, _, _ in rows]
        outcomes = titan.label(numbers, [class_id(said, names, where) for _, said, where in rows])
    counts = Counter(outcomes)
    left = [{"number": n, "outcome": each} for n, each in zip(numbers, outcomes, strict=True) if each not in DONE]
    data = {"counts": dict(counts), "not_labelled": left}
    return output.result(data, lambda: _summary(counts), degraded=bool(left))


def _rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Yield number, label and where it stands."""
    import csv  # takes a while, and other verbs do without

    with open(path, newline="", encoding="utf-8") as file:
        try:
            for place, row in enumerate(csv.reader(file), start=1):
                if row and not (place == 1 and row == HEADING):
                    yield _row(row, f"{path}:{place}")
        except (UnicodeDecodeError, csv.Error) as error:
            raise Misused(f"{path}: is no .csv file ({error})") from None


def _row(row: list[str], where: str) -> tuple[int, str, str]:
    try:
        number, said = row
        return int(number), said, where
    except ValueError:
        raise Misused(f"{where}: expected a number and a label, found {','.join(row)[:80]!r}") from None


def _summary(counts: Counter[str]) -> str:
    total = sum(counts.values())
    return f"{total:,} label{'' if total == 1 else 's'}: " + ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in _ordered(counts)
    )


def _ordered(counts: Counter[str]) -> Iterable[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (item[0] not in DONE, item[0]))
