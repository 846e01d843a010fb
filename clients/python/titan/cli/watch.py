"""titanctl watch: a line for each round, over restarts of the daemon too."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.numbers import some
from titan.cli.output import Misused, Output
from titan.cli.words import UNKNOWN, count, decimal, seconds
from titan.errors import TitanError, Unreachable

if TYPE_CHECKING:
    from titan.client import Client
    from titan.records import Training

RETRY_SECONDS = 0.5


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("watch", parents=[everywhere], help="print a line for each round")
    parser.add_argument("--count", type=some, metavar="N", help="end after N lines (default: go on)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    if output.format == "json":
        raise Misused("'watch' has no end, so it is no single JSON document: use --format jsonl")
    with client(args) as titan:
        for training in islice(trainings(titan, output), args.count):
            output.event(training, lambda now=training: line(now))  # type: ignore[misc]
    return output.end()


def trainings(titan: Client, output: Output) -> Iterator[Training]:
    """Yield the training as it goes on; a daemon that answered once and is gone is waited for.

    Raises:
        TitanError: no daemon has answered yet, or it refuses.
    """
    has_answered = is_lost = False
    while True:
        try:
            for training in titan.watch_training():
                has_answered, is_lost = True, False
                yield training
            return
        except TitanError as error:
            if not has_answered or not (isinstance(error, Unreachable) or error.reason == "DAEMON_STOPPING"):
                raise
            if not is_lost:
                output.note(f"{error.message} Waiting for the daemon.")
            is_lost = True
        time.sleep(RETRY_SECONDS)


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
