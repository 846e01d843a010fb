"""titanctl sample: what became of one sample."""

from __future__ import annotations

import argparse
from typing import Any

from titan.cli.connect import client
from titan.cli.output import Output
from titan.cli.words import UNKNOWN


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("sample", parents=[everywhere], help="tell what became of one sample")
    parser.add_argument("number", type=int, help="the number that it was given when it was accepted")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        sample = titan.sample(args.number)
    when = UNKNOWN if sample.accept_time is None else sample.accept_time.isoformat(timespec="milliseconds")
    label = UNKNOWN if sample.label is None else sample.label
    return output.result(
        sample, lambda: f"{sample.name}  {sample.fate}  label {label}  accepted {when}\n{sample.explanation}"
    )
