"""titanctl status: everything on one screen, always in the same order."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.output import Output
from titan.errors import TitanError

if TYPE_CHECKING:
    from titan.client import Client
    from titan.records import Telemetry, Training


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("status", parents=[everywhere], help="show everything on one screen")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    from titan.cli.screen import screen

    with client(args) as titan:
        training = titan.training()
        telemetry = _telemetry(titan)
        address = titan.addresses.main
    return output.result(
        {"training": training, "telemetry": telemetry},
        lambda: "\n".join(screen(training, telemetry, address)),
        degraded=is_degraded(training),
    )


def is_degraded(training: Training) -> bool:
    """Whether something needs attention: a health item, a failed training, a ledger that does not add up."""
    ledger = training.sample_ledger
    return bool(training.health) or training.state == "failed" or (ledger is not None and not ledger.is_balanced)


def _telemetry(titan: Client) -> Telemetry | None:
    """Return the newest reading; the status is worth showing without it."""
    try:
        return titan.telemetry()
    except TitanError:
        return None
