"""titanctl snapshots: list, get, create, diff, delete."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.output import Misused, Output
from titan.cli.words import UNKNOWN, decimal, size

if TYPE_CHECKING:
    from titan.records import Comparison, Snapshot

CONFUSIONS_SHOWN = 5


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("snapshots", parents=[everywhere], help="list, get, create, compare or delete snapshots")
    parser.set_defaults(run=_list)
    actions = parser.add_subparsers(metavar="ACTION", title="actions (default: list)")
    actions.add_parser("list", parents=[everywhere], help="list all, newest first").set_defaults(run=_list)
    getting = actions.add_parser("get", parents=[everywhere], help="show one")
    getting.add_argument("name", nargs="?", default="latest", help="'latest', 'best', a round number or a name")
    getting.set_defaults(run=_get)
    creating = actions.add_parser("create", parents=[everywhere], help="snapshot the last completed round")
    creating.add_argument("--note", default="", help="what it is for")
    creating.set_defaults(run=_create)
    comparing = actions.add_parser("diff", parents=[everywhere], help="show what changed between two")
    comparing.add_argument("before", help="'best', a round number or a full name")
    comparing.add_argument("after", nargs="?", default="latest", help="likewise (default: latest)")
    comparing.set_defaults(run=_diff)
    deleting = actions.add_parser("delete", parents=[everywhere], help="delete one and its exports")
    deleting.add_argument("name", help="a round number or a full name")
    deleting.add_argument("--yes", action="store_true", help="do not ask")
    deleting.set_defaults(run=_delete)


def _list(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        found = titan.snapshots()
    return output.result({"snapshots": found}, lambda: "\n".join(table(found)))


def _get(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        snapshot = titan.snapshot(args.name)
    return output.result(snapshot, lambda: "\n".join(description(snapshot)))


def _create(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        snapshot = titan.create_snapshot(args.note)
    return output.result(snapshot, lambda: "\n".join(description(snapshot)))


def _diff(args: argparse.Namespace, output: Output) -> int:
    from titan.cli.diff import difference, lines

    with client(args) as titan:
        found = difference(titan, args.before, args.after)
    return output.result(found, lambda: "\n".join(lines(found)))


def _delete(args: argparse.Namespace, output: Output) -> int:
    if not args.yes:
        if not sys.stdin.isatty():
            raise Misused("deleting a snapshot needs --yes where nobody can be asked")
        print(f"delete snapshot {args.name} and its exports? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Misused("nothing deleted")
    with client(args) as titan:
        titan.delete_snapshot(args.name)
    return output.result({"deleted": args.name}, lambda: f"deleted {args.name}")


def table(snapshots: list[Snapshot]) -> list[str]:
    """Return a line for each snapshot."""
    if not snapshots:
        return ["no snapshots yet"]
    rows = [("NAME", "ROUND", "ACCURACY", "CREATED", "FILES", "NOTE")]
    for each in snapshots:
        files = ", ".join(f"{file.format} {size(file.size_bytes)}" for file in each.files)
        rows.append((each.name, f"{each.round_number:,}", _accuracy(each), _created(each), files, each.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]


def description(snapshot: Snapshot) -> list[str]:
    """Return everything about one snapshot that people ask for."""
    lines = [
        snapshot.name + (f"  {snapshot.note}" if snapshot.note else ""),
        f"ROUND      {snapshot.round_number:,}, {_created(snapshot)}, by titand {snapshot.titand_version or UNKNOWN}",
        f"MODEL      {snapshot.architecture}, {snapshot.input_spec or UNKNOWN}, {len(snapshot.labels)} classes: "
        + ", ".join(snapshot.labels),
        "METRICS    " + (", ".join(f"{name} {value:.4g}" for name, value in snapshot.metrics.items()) or UNKNOWN),
    ]
    lines += [f"FILE       {file.format}, {size(file.size_bytes)}, sha256 {file.sha256}" for file in snapshot.files]
    if (gate := snapshot.gate) is not None:
        lines.append(f"GATE       {gate.verdict}: {gate.message}")
        lines += _confused(gate.held_out, snapshot.labels)
    return [*lines, f"PARENT     {snapshot.parent or 'none'}"]


def _confused(found: Comparison | None, labels: tuple[str, ...]) -> list[str]:
    """Return what is taken for what, the most frequent first."""
    if found is None or not found.confusions:
        return []
    told = [
        f"{each.count} of {found.class_counts[each.label]} {labels[each.label]} as {labels[each.predicted]}"
        for each in found.confusions[:CONFUSIONS_SHOWN]
    ]
    more = len(found.confusions) - len(told)
    return [f"CONFUSED   {', '.join(told)}" + (f" and {more} more" if more else "")]


def _accuracy(snapshot: Snapshot) -> str:
    return decimal(snapshot.metrics.get("held_out_accuracy", snapshot.metrics.get("accuracy")))


def _created(snapshot: Snapshot) -> str:
    return UNKNOWN if snapshot.create_time is None else snapshot.create_time.isoformat(" ", timespec="seconds")
