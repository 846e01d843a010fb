"""Rebuild the tables of docs/performance.md and docs/reliability.md, and the figures of README.md, from what is kept.

    python -m benchmarks.tables

Each table stands between two marks that name its result; the words around them are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.measure import read
from benchmarks.paper.tables import markdown

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "reliability.md", ROOT / "README.md")
MARKS = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Plain = Mapping[str, Any]


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


def filled(text: str) -> str:
    """Return a page with every table between its marks made anew.

    Raises:
        KeyError: a mark names a table that there is none of.
    """
    return MARKS.sub(lambda match: match[1] + _block(match[2]) + match[3], text)


def _block(name: str) -> str:
    if name == "figures":
        return figures.table()
    result = read(name)
    machine = result["machine"]
    origin = (
        f"\n`{result['command']}`, commit {result['revision']}, {machine['processor']}, {machine['cores']} cores,"
        f" Python {machine['python']}, load {machine['load_average']:.1f} at the end.\n"
    )
    return TABLES[name](result) + origin


def _range(value: Plain | None, digits: int = 2) -> str:
    """Return a median with least and most."""
    if value is None:
        return "-"
    return f"{value['median']:.{digits}f} ({value['least']:.{digits}f} to {value['most']:.{digits}f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown(head, rows) + "\n"


def _ingest(result: Plain) -> str:
    rows = [
        ("samples per second", _range(result["samples_per_second"], 0), _range(result["raw_samples_per_second"], 0)),
        ("server CPU per sample, us", _range(result["server_cpu_us_per_sample"]),
         _range(result["raw_server_cpu_us_per_sample"])),
        ("client CPU per sample, us", _range(result["client_cpu_us_per_sample"]), "-"),
        ("server CPU, ratio", _range(result["server_cpu_over_raw"]), "1"),
        ("front, private memory, MB", f"{result['front_anon_megabytes']:.1f}", "-"),
    ]  # fmt: skip
    return _table(("", "titand", "bare socket"), rows)


def _paced(result: Plain) -> str:
    rows = [
        ("front, share of a core", _range(result["front_core_percent"]) + " %"),
        ("send to acknowledgement, median", _range(result["latency_p50_ms"]) + " ms"),
        ("send to acknowledgement, p99", _range(result["latency_p99_ms"]) + " ms"),
        ("rounds per second meanwhile", _range(result["rounds_per_second"])),
    ]
    return _table(("1,000 samples/s beside training", "median (least to most)"), rows)


def _pipeline(result: Plain) -> str:
    rows = [
        (name, _range(row["alone_ms"]), _range(row["together_ms"]), _range(row["ratio"]),
         _range(row["stranger_ratio"]), _range(row["select_ms"]), _range(row["handover_ms"], 3))
        for name, row in result.items() if isinstance(row, dict) and "ratio" in row
    ]  # fmt: skip
    head = (
        "model",
        "training alone, ms",
        "with selection, ms",
        "ratio",
        "ratio beside a stranger",
        "selection, ms",
        "hand-over, ms",
    )
    return _table(head, rows)


def _filter_cost(result: Plain) -> str:
    rows = [
        (name, _range(row["stratified_us"], 1), _range(row["predicted_us"], 1), _range(row["score_us"], 1),
         f"1/{row['score_over_stratified']['median']:.0f}", f"1/{row['score_over_predicted']['median']:.1f}")
        for name, row in result.items() if isinstance(row, dict) and "score_us" in row
    ]  # fmt: skip
    head = ("model", "stratified, us", "predicted, us", "full scoring, us", "ratio stratified", "ratio predicted")
    return _table(head, rows)


def _memory(result: Plain) -> str:
    rows = []
    for name, row in result.items():
        if not isinstance(row, dict) or "by_process" not in row:
            continue
        parts = ", ".join(f"{p} {k['anon'] + k['shared']:.1f}" for p, k in row["by_process"].items())
        rows.append((name, f"{row['bare_megabytes']:.1f}", f"{row['service_megabytes']:.1f}",
                     f"{row['extra_megabytes']:.1f}", parts))  # fmt: skip
    return _table(("model", "bare loop, MB", "whole service, MB", "extra, MB", "of which"), rows)


def _start(result: Plain) -> str:
    rows = [
        ("start to first accepted sample", _range(result["first_accepted_seconds"]) + " s"),
        ("start to first completed round", _range(result["first_round_seconds"]) + " s"),
        ("`titanctl status`", _range(result["status_seconds"], 3) + " s"),
        ("an empty Python program", _range(result["empty_python_seconds"], 3) + " s"),
    ]
    return _table(("", "median (least to most)"), rows)


def _durability(result: Plain) -> str:
    checkpoints = [
        (
            name,
            f"{each['state_bytes'] / 1e6:.2f}",
            f"{each['medium_bytes'] / 1e6:.2f}",
            str(each["writes"]),
            str(each["flushes"]),
            _range(each["write_ms"], 0),
            _range(each["load_ms"], 1),
        )
        for name, each in result["checkpoints"].items()
    ]
    messages = [
        (
            f"{name}, {lap}",
            f"{each['medium_bytes'] / 1e3:.1f}",
            f"{each['writes']:.2f}",
            f"{each['flushes']:.2f}",
        )
        for name, laps in result["messages"].items()
        for lap, each in laps.items()
    ]
    rounds = [
        (
            name,
            f"{each['samples'] / each['rounds']:.0f}",
            f"{each['medium_bytes_a_round'] / 1e3:.1f}",
            f"{each['writes_a_round']:.2f}",
            f"{each['flushes_a_round']:.2f}",
        )
        for name, each in result["rounds"].items()
    ]
    back = [
        ("the first sample is accepted again", _range(result["accepts_again_seconds"])),
        ("it has trained on", _range(result["trains_again_seconds"])),
    ]
    return "\n".join(
        (
            _table(
                ("checkpoint", "MB", "MB on the medium", "writes", "flushes", "written in ms", "loaded in ms"),
                checkpoints,
            ),
            _table(("a logged message", "kB on the medium", "writes", "flushes"), messages),
            _table(("per round", "samples", "kB on the medium", "writes", "flushes"), rounds),
            _table(("from the start after a kill of everything until", "seconds"), back),
        )
    )


TABLES: Mapping[str, Callable[[Plain], str]] = {
    "ingest": _ingest,
    "paced": _paced,
    "pipeline": _pipeline,
    "filter_cost": _filter_cost,
    "memory": _memory,
    "start": _start,
    "durability": _durability,
}


if __name__ == "__main__":
    main()
