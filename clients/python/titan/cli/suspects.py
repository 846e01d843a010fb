"""titanctl samples suspect: samples whose labels look wrong, to be looked at by somebody who knows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.numbers import some
from titan.cli.output import Output

if TYPE_CHECKING:
    from titan.records import SuspectSample


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("samples", parents=[everywhere], help="list samples worth a look")
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    suspecting = actions.add_parser(
        "suspect", parents=[everywhere], help="list samples whose labels look wrong, the most suspicious first"
    )
    suspecting.add_argument("--limit", type=some, default=0, metavar="N", help="at most N (default: all that are kept)")
    suspecting.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        found = titan.suspects(args.limit)
        model = titan.training().model
    names = () if model is None else model.labels
    return output.result(found, lambda: "\n".join(lines(found, names)))


def lines(suspects: Sequence[SuspectSample], names: Sequence[str]) -> Iterator[str]:
    """Yield a line for each suspect: its name, its label, the label that it should perhaps have, and why."""
    if not suspects:
        yield "no sample looks wrong"
    for each in suspects:
        better = "" if each.suggested_label is None else f", perhaps {_name(each.suggested_label, names)}"
        yield f"{each.name:<18}{_name(each.label, names)}{better}: {each.explanation}"


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else str(label)
