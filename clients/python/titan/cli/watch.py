"""titanctl watch: a line for each round."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.output import Misused, Output
from titan.cli.words import UNKNOWN, count, decimal, seconds

if TYPE_CHECKING:
    from titan.records import Training


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("watch", parents=[everywhere], help="print a line for each round")
    parser.add_argument("--count", type=int, metavar="N", help="end after N lines (default: go on)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    if output.format == "json":
        raise Misused("'watch' has no end, so it is no single JSON document: use --format jsonl")
    with client(args) as titan:
        for training in islice(titan.watch_training(), args.count):
            output.event(training, lambda now=training: line(now))  # type: ignore[misc]
    return output.end()


def line(training: Training) -> str:
    """Return what is worth knowing of this moment in one line."""
    last, evaluation, ledger = training.last_round, training.evaluation, training.sample_ledger
    parts = [f"{training.state:<8}", f"round {training.round_count:>7,}"]
    if last is not None:
        gain = UNKNOWN if last.variance_ratio is None else f"{last.variance_ratio:.2f}x"
        parts += [f"loss {decimal(last.loss)}", f"train {seconds(last.train_seconds)}", f"gain {gain}"]
    parts.append(f"accuracy {decimal(evaluation.accuracy if evaluation else None)}")
    if ledger is not None:
        parts.append(f"pushed {count(ledger.pushed_count)}, selected {count(ledger.selected_count)}")
    if training.health:
        parts.append(", ".join(item.code for item in training.health))
    return "  ".join(parts)
