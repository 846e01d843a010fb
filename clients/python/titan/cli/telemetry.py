"""titanctl telemetry: the board, and what titand takes of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.numbers import some
from titan.cli.output import Misused, Output
from titan.cli.words import UNKNOWN, count, ratio, size

if TYPE_CHECKING:
    from titan.records import Measurement, Telemetry

UNITS = {"_ratio": "", "_bytes": "", "_watts": " W", "_joules": " J", "_celsius": " C", "_hertz": " Hz"}


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("telemetry", parents=[everywhere], help="show power, load, memory and temperatures")
    parser.add_argument("--watch", action="store_true", help="go on with each new reading")
    parser.add_argument("--count", type=some, metavar="N", help="end after N readings (implies --watch)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    with client(args) as titan:
        if not (args.watch or args.count):
            reading = titan.telemetry()
            return output.result(reading, lambda: "\n".join(description(reading)))
        if output.format == "json":
            raise Misused("'telemetry --watch' is no single JSON document: use --format jsonl")
        for each in islice(titan.watch_telemetry(), args.count):
            output.event(each, lambda now=each: "\n".join([*description(now), ""]))  # type: ignore[misc]
    return output.end()


def description(reading: Telemetry) -> list[str]:
    """Return a reading as lines: quantity, value, and where it comes from."""
    board = reading.board
    when = UNKNOWN if reading.read_time is None else reading.read_time.isoformat(" ", timespec="milliseconds")
    l4t = f"  L4T {board.l4t}" if board and board.l4t else ""
    lines = [f"{board.model if board and board.model else 'unknown board'}{l4t}  {when}"]
    lines += _block("VALUES", reading.values)
    lines += _block("POWER BY RAIL", reading.rail_power_watts, " W")
    lines += _block("TEMPERATURES", reading.temperatures_celsius, " C")
    lines += _block("FANS", reading.fan_speed_ratios)
    if reading.processes:
        lines.append(f"{'PROCESSES':<30}{'PSS':>9}{'private':>10}{'shared':>10}{'cores':>7}{'threads':>9}{'files':>7}")
        lines += [
            f"  {each.name:<20}{each.pid:>8}{size(each.pss_bytes):>9}{size(each.pss_anon_bytes):>10}"
            f"{size(each.pss_shared_bytes):>10}{each.cpu_ratio:>7.2f}{each.thread_count:>9}{each.descriptor_count:>7}"
            for each in reading.processes
        ]
    lines += ["SOURCES"] if reading.sources else []
    lines += [
        f"  {each.name:<20}{'up' if each.up else 'down':<6}{each.version:<10}{each.detail}".rstrip()
        for each in reading.sources
    ]
    return lines


def _block(title: str, values: dict[str, Measurement] | Any, unit: str = "") -> Iterator[str]:
    if values:
        yield title
    for name, each in values.items():
        kind = f" ({each.kind})" if each.kind else ""
        yield f"  {name:<30}{quantity(name, each.value, unit):>12}  {each.source}{kind}, {each.age_seconds:.1f} s old"


def quantity(name: str, value: float, unit: str = "") -> str:
    """Return a value in the unit that its name says.

    >>> quantity("memory_available_bytes", 1.25e9), quantity("board_power_watts", 6.84)
    ('1.25 GB', '6.84 W')
    """
    if name.endswith("_bytes"):
        return size(value)
    if name.endswith("_ratio") or (not unit and "_" not in name):
        return ratio(value)
    said = unit or next((text for suffix, text in UNITS.items() if name.endswith(suffix)), "")
    return f"{value:.3g}{said}" if abs(value) < 1e4 else f"{count(value)}{said}"
