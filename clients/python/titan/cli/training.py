"""titanctl pause, titanctl resume, titanctl rollback."""

from __future__ import annotations

import argparse
from typing import Any

from titan.cli.connect import client
from titan.cli.output import Output


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verbs to the command line."""
    pausing = verbs.add_parser("pause", parents=[everywhere], help="pause the training; samples are still taken in")
    pausing.add_argument("--note", default="", help="why, for people who read the status")
    pausing.set_defaults(run=_pause)
    resuming = verbs.add_parser("resume", parents=[everywhere], help="go on with the training")
    resuming.set_defaults(run=_resume)
    returning = verbs.add_parser("rollback", parents=[everywhere], help="go back to the parameters of a snapshot")
    returning.add_argument("snapshot", nargs="?", default="best", help="'best', 'latest', a round number or a name")
    returning.add_argument("--note", default="", help="why, for people who read the status")
    returning.set_defaults(run=_rollback)


def _pause(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        training = titan.pause(args.note)
    return output.result(training, lambda: training.state_message)


def _resume(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        training = titan.resume()
    return output.result(training, lambda: training.state_message)


def _rollback(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        rollback = titan.rollback(args.snapshot, args.note)
    return output.result(rollback, lambda: f"round {rollback.round_number:,} begins from {rollback.source}")
