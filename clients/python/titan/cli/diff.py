"""titanctl snapshots diff: what changed from one snapshot to another, in figures, by class, and tensor by tensor."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titan.cli.output import Misused
from titan.cli.verify import header
from titan.cli.words import UNKNOWN, decimal

if TYPE_CHECKING:
    from titan.client import Client
    from titan.records import Comparison, Snapshot

_NUMPY_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
}


@dataclass(frozen=True)
class Difference:
    """From one snapshot to another.

    Attributes:
        metrics: (before, after) by name; None where one has none.
        class_accuracies: (before, after) by class name, each on the samples held out at its time.
        tensors: norm of the change over the norm before, by name; None where a tensor is new or of another size, or
            changed from nothing but zeros.
        all_tensors: the same over all that can be compared.
    """

    before: Snapshot
    after: Snapshot
    metrics: Mapping[str, tuple[float | None, float | None]]
    class_accuracies: Mapping[str, tuple[float | None, float | None]]
    tensors: Mapping[str, float | None]
    all_tensors: float | None


def difference(titan: Client, before: str, after: str) -> Difference:
    """Fetch both snapshots and compare them.

    Raises:
        TitanError: one of them is not there, or cannot be fetched.
        Misused: numpy is missing.
    """
    first, second = titan.snapshot(before), titan.snapshot(after)
    names = [name for name in first.metrics if name in second.metrics]
    names += sorted(first.metrics.keys() ^ second.metrics.keys())
    labels = second.labels if first.labels == second.labels else ()
    accuracies = zip(labels, _by_class(first, len(labels)), _by_class(second, len(labels)), strict=True)
    changed, norm = 0.0, 0.0
    tensors: dict[str, float | None] = {}
    for name, one, other in _tensors(titan, first, second):
        if one is None or other is None or len(one) != len(other):
            tensors[name] = None
            continue
        step, size = float(((other - one) ** 2).sum()), float((one**2).sum())
        changed, norm = changed + step, norm + size
        tensors[name] = _ratio(step, size)
    return Difference(
        first,
        second,
        {name: (first.metrics.get(name), second.metrics.get(name)) for name in names},
        {label: (one, other) for label, one, other in accuracies},
        tensors,
        _ratio(changed, norm),
    )


def lines(found: Difference) -> list[str]:
    """Return the difference as a table."""
    rows = [("", found.before.name.removeprefix("snapshots/"), found.after.name.removeprefix("snapshots/"), "CHANGE")]
    rows += [(name, _figure(one), _figure(other), _change(one, other)) for name, (one, other) in found.metrics.items()]
    rows += [(f"class {name}", *_points(pair)) for name, pair in found.class_accuracies.items()]
    rows += [(f"tensor {name}", "", "", _share(ratio)) for name, ratio in found.tensors.items()]
    rows.append(("all tensors", "", "", _share(found.all_tensors)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _by_class(snapshot: Snapshot, count: int) -> list[float | None]:
    held_out: Comparison | None = snapshot.gate.held_out if snapshot.gate is not None else None
    if held_out is None or len(held_out.class_counts) != count:
        return [None] * count
    pairs = zip(held_out.correct_counts, held_out.class_counts, strict=True)
    return [correct / present if present else None for correct, present in pairs]


def _tensors(titan: Client, first: Snapshot, second: Snapshot) -> Iterator[tuple[str, Any, Any]]:
    """Yield name and float64 values before and after; None for a tensor that is not there."""
    with tempfile.TemporaryDirectory(prefix="titanctl-") as folder:
        files = []
        for place, snapshot in enumerate((first, second)):
            path = str(Path(folder) / f"{place}.safetensors")
            titan.export_model(path, snapshot.name)
            files.append(_read(path))
    one, other = files
    for name in [*one, *(name for name in other if name not in one)]:
        yield name, one.get(name), other.get(name)


def _read(path: str) -> dict[str, Any]:
    try:
        import numpy
    except ImportError:
        raise Misused("comparing snapshots takes numpy: pip install numpy") from None
    with open(path, "rb") as file:
        tensors, begin = header(file, path)
        values = {}
        for each in tensors:
            if each.data_type in _NUMPY_TYPES:
                file.seek(begin + each.begin)
                data = file.read(each.end - each.begin)
                values[each.name] = numpy.frombuffer(data, _NUMPY_TYPES[each.data_type]).astype(numpy.float64)
    return values


def _ratio(change: float, size: float) -> float | None:
    if change == 0:
        return 0.0
    return math.sqrt(change / size) if size > 0 else None


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{after - before:+.4g}"


def _points(pair: tuple[float | None, float | None]) -> tuple[str, str, str]:
    before, after = pair
    change = "" if before is None or after is None else f"{100 * (after - before):+.1f} points"
    return decimal(before), decimal(after), change


def _share(ratio: float | None) -> str:
    return UNKNOWN if ratio is None else f"{100 * ratio:.3g} % of its norm"
