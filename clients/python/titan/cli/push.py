"""titanctl push: samples from files, with a progress bar."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.numbers import rate, some
from titan.cli.output import Misused, Output
from titan.cli.words import count

if TYPE_CHECKING:
    from titan.cli.target import Piece, Target
    from titan.client import Client
    from titan.records import PushTotals, Refusal

BAR_COLUMNS = 24
DRAW_SECONDS = 0.1
PACE_SECONDS = 0.05  # with --rate, samples go out in pieces of this length


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "push",
        parents=[everywhere],
        help="push samples from files",
        description="Push a folder with a folder of images per class, an .npz, a .csv, or a pair of IDX files.",
    )
    parser.add_argument("path", metavar="PATH", help="a folder, .npz, .csv, or IDX file (may be .gz)")
    parser.add_argument("--labels", metavar="WHERE", help="IDX: the other file; .npz: array (y); .csv: column (label)")
    parser.add_argument("--samples", metavar="NAME", default="x", help=".npz: the array of samples (x)")
    parser.add_argument("--as", dest="as_type", metavar="TYPE", help="round values to this type, which the model takes")
    parser.add_argument("--rate", type=rate, metavar="R", help="at most R samples a second")
    parser.add_argument("--repeat", type=some, default=1, metavar="N", help="push everything N times")
    parser.add_argument("--limit", type=some, metavar="N", help="stop after N samples")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    if not os.path.exists(args.path):
        raise Misused(f"{args.path}: there is no such file or folder")
    reasons: dict[str, dict[str, Any]] = {}
    with client(args, on_refusal=lambda refusal: _note(reasons, refusal)) as titan:
        source = _source(args, _target(titan, args.as_type))
        bar = Bar(source.total(args.repeat, args.limit))
        for piece in paced(source.pieces(args.repeat, args.limit), args.rate):
            titan.push_batch(bytes(piece.data), piece.labels)
            bar.draw(titan.totals)
        totals = titan.flush()
        bar.finish(totals)
    if not totals.pushed:
        raise Misused(f"{args.path}: holds no samples")
    data = {"totals": totals, "refusals": list(reasons.values())}
    return output.result(data, lambda: "\n".join(_summary(totals, reasons)), degraded=totals.accepted < totals.pushed)


def _target(titan: Client, as_type: str | None) -> Target:
    from titan.cli.target import Target

    spec, labels = titan.input()
    if as_type not in (None, spec.data_type):
        raise Misused(f"--as {as_type}: the model takes {spec.data_type}, so that is the only type to round to")
    return Target(spec, labels, forced=as_type is not None)


def _source(args: argparse.Namespace, target: Target) -> Source:
    """Return the reader for what the path is."""
    path, name = args.path, args.path.lower().removesuffix(".gz")
    if os.path.isdir(path):
        from titan.cli import images

        return Source(lambda: images.pieces(path, target), images.count(path))
    if name.endswith(".npz"):
        from titan.cli import npz

        key = args.labels or "y"
        return Source(lambda: npz.pieces(path, target, args.samples, key), npz.count(path, key))
    if name.endswith(".csv"):
        from titan.cli import table

        return Source(lambda: table.pieces(path, target, args.labels), None)
    if "idx" in name or name.endswith("-ubyte"):
        from titan.cli import idx

        return Source(lambda: idx.pieces(path, target, args.labels), idx.count(path))
    raise Misused(f"{path}: is no folder, .npz, .csv or IDX file")


class Source:
    """Samples that can be read more than once.

    Args:
        read: yields them from the beginning.
        count: how many there are, None if that takes reading them.
    """

    def __init__(self, read: Callable[[], Iterator[Piece]], count: int | None) -> None:
        self._read = read
        self._count = count

    def total(self, repeat: int, limit: int | None) -> int | None:
        """Return how many samples `pieces` will yield, None if that is not known."""
        if self._count is None:
            return None
        return self._count * repeat if limit is None else min(self._count * repeat, limit)

    def pieces(self, repeat: int, limit: int | None) -> Iterator[Piece]:
        """Yield everything so many times, but no more than `limit` samples."""
        left = limit
        for _ in range(repeat):
            for piece in self._read():
                if left is not None and left < len(piece.labels):
                    yield from islice(piece.cut(max(left, 1)), min(left, 1))
                    return
                left = None if left is None else left - len(piece.labels)
                yield piece


def paced(
    pieces: Iterator[Piece],
    rate: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Piece]:
    """Yield pieces so that no more than `rate` samples a second come, in small portions."""
    if rate is None:
        yield from pieces
        return
    begin, given = clock(), 0
    for piece in pieces:
        for part in piece.cut(max(int(rate * PACE_SECONDS), 1)):
            early = begin + given / rate - clock()
            if early > 0:
                sleep(early)
            yield part
            given += len(part.labels)


class Bar:
    """A line on stderr that tells how far it is; only where a person may see it.

    Args:
        total: samples to push, None if unknown.
    """

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._begin = clock()
        self._drawn = -DRAW_SECONDS
        self._is_seen = sys.stderr.isatty()

    def draw(self, totals: PushTotals) -> None:
        """Draw the line, not too often."""
        now = self._clock()
        if self._is_seen and now - self._drawn >= DRAW_SECONDS:
            self._drawn = now
            sys.stderr.write(f"\r\x1b[K{self.line(totals)}")
            sys.stderr.flush()

    def finish(self, totals: PushTotals) -> None:
        """Draw the line for the last time."""
        self._drawn = -DRAW_SECONDS
        self.draw(totals)
        if self._is_seen:
            sys.stderr.write("\n")

    def line(self, totals: PushTotals) -> str:
        """Return the line."""
        settled = totals.pushed - totals.unacknowledged
        seconds = max(self._clock() - self._begin, 1e-9)
        share = "" if not self._total else f"[{'#' * int(BAR_COLUMNS * settled / self._total):<{BAR_COLUMNS}}] "
        of = "" if self._total is None else f"/{count(self._total)}"
        return (
            f"{share}{count(settled)}{of}  {count(settled / seconds)}/s  accepted {count(totals.accepted)}"
            f"  shed {count(totals.shed)}  rejected {count(totals.rejected)}"
        )


def _note(reasons: dict[str, dict[str, Any]], refusal: Refusal) -> None:
    known = reasons.setdefault(
        refusal.reason, {"reason": refusal.reason, "kind": refusal.kind, "message": refusal.message, "count": 0}
    )
    known["count"] += refusal.count


def _summary(totals: PushTotals, reasons: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield (
        f"{totals.pushed:,} pushed: {totals.accepted:,} accepted, {totals.rejected:,} rejected, {totals.shed:,} shed"
        + (f", {totals.unreported:,} settled unheard while the connection broke" if totals.unreported else "")
    )
    for each in reasons.values():
        yield f"  {each['count']:,} {each['kind']}  {each['reason']}  {each['message']}"
