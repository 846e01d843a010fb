"""Every benchmark in its share of an hour, beside what is kept; then every published page anew from what is kept.

    python -m benchmarks [--budget 45] [--only ingest,variance] [--folder build/bench]

Scaled runs go to the folder and never over the kept results: those are of longer runs. `report.md` there puts the two
beside each other. What is kept is measured anew by one benchmark in full: `python -m benchmarks.ingest`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import compare
from benchmarks.arguments import some_of
from benchmarks.measure import RESULTS

FOLDER = Path("build/bench")
PATIENCE = 10.0  # minutes beyond its share until a benchmark counts as stuck: the first run is always finished


@dataclass(frozen=True)
class Benchmark:
    """One of the benchmarks.

    Attributes:
        share: minutes of an hour.
        arguments: of a scaled run.
        keeps: whether its result goes to a folder, to be put beside the kept one.
    """

    share: float
    arguments: tuple[str, ...] = ()
    keeps: bool = True


BENCHMARKS = {
    "ingest": Benchmark(1),
    "paced": Benchmark(2, ("--seconds", "10")),
    "filter_cost": Benchmark(2),
    "start": Benchmark(1),
    "memory": Benchmark(2),
    "durability": Benchmark(1),
    "pipeline": Benchmark(8, ("--seconds", "4")),
    "batchnorm": Benchmark(4, ("--rounds", "100", "--seeds", "1"), keeps=False),
    "guard": Benchmark(2, ("--rounds", "1000", "--runs", "5"), keeps=False),
    "replay": Benchmark(2, ("--rounds", "300", "--seeds", "1"), keeps=False),
    "variance": Benchmark(12, ("check",), keeps=False),
    "paper": Benchmark(18, ("check",), keeps=False),
}
PAGES = (("tables",), ("variance", "report"), ("paper", "report"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, rebuild; 1 if something failed."""
    options = parse(arguments)
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    hour = sum(BENCHMARKS[name].share for name in options.only)
    failed = []
    for name in options.only:
        benchmark = BENCHMARKS[name]
        minutes = options.budget * benchmark.share / hour
        target = ("--folder", str(options.folder)) if benchmark.keeps else ()
        command = (name, *benchmark.arguments, "--budget", f"{minutes:.3g}", *target)
        if not run(command, options.folder / f"{name}.txt", minutes + PATIENCE):
            failed.append(name)
    report = compare.report(RESULTS, options.folder)
    (options.folder / "report.md").write_text(report)
    print(f"\n{report}")
    for page in PAGES:
        if not run(page, options.folder / f"page-{page[0]}.txt", PATIENCE):
            failed.append(" ".join(page))
    if failed:
        print(f"failed: {', '.join(failed)}; what they said is in {options.folder}")
    return 1 if failed else 0


def run(command: Sequence[str], output: Path, minutes: float) -> bool:
    """Run a module of the benchmarks; its words go to the terminal and a file. Return whether it ended well."""
    name, *arguments = command
    print(f"== {' '.join(command)}", flush=True)
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", f"benchmarks.{name}", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the daemon that it may have started
                process.wait()
    print(output.read_text(), end="", flush=True)
    if status is None:
        print(f"{name}: stuck, and ended after {minutes:.0f} minutes", flush=True)
    return status == 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--budget", type=float, default=45.0, help="minutes of all together; each may overrun its share by one run"
    )
    parser.add_argument("--only", type=some_of(BENCHMARKS), default=list(BENCHMARKS), help="these only")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="is emptied first")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
