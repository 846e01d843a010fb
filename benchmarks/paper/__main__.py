"""The paper's evaluation.

    python -m benchmarks.paper run --task har --methods rs,titan --lrs 0.02,0.05 --seeds 5 --rounds 2000 --budget 30
    python -m benchmarks.paper costs --task har
    python -m benchmarks.paper stability --task har
    python -m benchmarks.paper report
    python -m benchmarks.paper check --budget 10

Runs that are on file are not repeated, so `run` goes on where it was stopped. `report` rebuilds tables and curves from
all runs on file; `check` repeats some of these, drawn by chance, and compares.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import tables as pages
from benchmarks.arguments import some_of
from benchmarks.measure import machine_name, revision
from benchmarks.paper import check, costs, report, stability, store
from benchmarks.paper.jobs import results
from benchmarks.paper.methods import METHODS
from benchmarks.paper.settings import Settings
from benchmarks.paper.tasks import TASKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the verb says."""
    options = parse(arguments)
    command = "python -m benchmarks.paper " + " ".join(arguments if arguments is not None else sys.argv[1:])
    origin = {"command": command, "revision": revision(), "machine": machine_name()}
    if options.verb == "report":
        report.write(options.folder, options.page)
        if options.folder == store.FOLDER:
            pages.main()  # README.md quotes these runs
        return 0
    if options.verb == "costs":
        measured = costs.measure(options.task, options.full)
        costs.write(measured, options.folder / f"costs-{options.task}.json", **origin)
        print(measured)
        return 0
    if options.verb == "stability":
        found = stability.measure(options.task, options.rate, options.seeds)
        stability.write(found, options.folder / f"stability-{options.task}.json", **origin)
        print(found)
        return 0
    if options.verb == "check":
        return check.repeat_some(options.folder, options.seed, options.jobs, 60 * options.budget)
    return run(options, origin)


def run(options: argparse.Namespace, origin: Mapping[str, str]) -> int:
    """Run what is wanted and not on file."""
    distinct = {each.key: each for each in grid(options)}.values()
    wanted = store.missing(distinct, options.folder)
    print(f"{len(wanted)} runs to do, {len(distinct) - len(wanted)} on file", flush=True)
    deadline = time.monotonic() + 60 * options.budget
    for settings, curve in results(wanted, options.jobs, deadline):
        store.append(store.Record(settings, curve, origin), options.folder)
        print(f"{settings.key} {curve.accuracy[-1] / 100:.1f} {curve.average_accuracy[-1] / 100:.1f}", flush=True)
    left = len(store.missing(wanted, options.folder))
    print(f"{left} runs left" if left else "all done")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run")
    running.add_argument("--task", choices=TASKS, default="digits")
    running.add_argument("--methods", type=some_of(METHODS), default=["rs", "titan"])
    running.add_argument("--lrs", type=_numbers, default=[0.05])
    running.add_argument("--seeds", type=int, default=5)
    running.add_argument("--first-seed", type=int, default=0)
    running.add_argument("--rounds", type=int, default=2000)
    running.add_argument("--every", type=int, default=25, help="rounds between two points of the curve")
    running.add_argument("--beta", type=_numbers, default=[1.0], help="exponents of the sample weights")
    running.add_argument("--least", type=_numbers, default=[1e-6], help="least importance, as a share of the mean")
    running.add_argument("--candidates", type=_numbers, default=[30])
    running.add_argument("--noise", type=_numbers, default=[0.0])
    running.add_argument("--imbalance", type=float, default=1.0)
    running.add_argument("--stream", default="shuffled")
    running.add_argument("--replay", type=float, default=0.0)
    running.add_argument("--momentum", type=float, default=0.0)
    running.add_argument("--decay", type=float, default=0.95)
    running.add_argument("--rule", default="", help="what sets the exponent during the run")
    running.add_argument("--rate-rule", default="", help="what raises the rate with the gain")
    running.add_argument("--depth", type=_numbers, default=[1], help="blocks that the filter's feature comes out of")
    running.add_argument("--no-delay", action="store_true", help="score each batch right before it is trained on")
    running.add_argument("--full", action="store_true", help="true widths, whole test set")
    running.add_argument("--budget", type=float, default=60.0, help="minutes after which no further run is begun")
    running.add_argument("--jobs", type=int, default=1)
    measuring = verbs.add_parser("costs")
    measuring.add_argument("--task", choices=TASKS, default="digits")
    measuring.add_argument("--full", action="store_true", help="true widths")
    following = verbs.add_parser("stability")
    following.add_argument("--task", choices=TASKS, default="digits")
    following.add_argument("--rate", type=float, default=0.05)
    following.add_argument("--seeds", type=int, default=5)
    reporting = verbs.add_parser("report")
    reporting.add_argument("--page", type=Path, default=report.PAGE)
    checking = verbs.add_parser("check")
    checking.add_argument("--seed", type=int, default=0, help="of which runs are drawn")
    checking.add_argument("--budget", type=float, default=10.0)
    checking.add_argument("--jobs", type=int, default=1)
    for each in (running, measuring, following, reporting, checking):
        each.add_argument("--folder", type=Path, default=store.FOLDER)
    return parser.parse_args(arguments)


def grid(options: argparse.Namespace) -> Iterator[Settings]:
    """Yield the wanted runs, seed by seed, so that what a budget leaves unfinished is the same for all methods."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    axes = itertools.product(
        seeds,
        options.noise,
        options.lrs,
        options.methods,
        options.candidates,
        options.depth,
        options.beta,
        options.least,
    )
    for seed, noise, rate, method, candidates, depth, beta, least in axes:
        kind = METHODS[method]
        yield Settings(
            options.task,
            method,
            rate,
            seed,
            options.rounds,
            candidates=int(candidates) if kind.rule else 30,
            beta=beta if kind.has_weights else 1.0,
            least=least if kind.policy == "cis" else 1e-6,
            rule=options.rule if kind.has_weights else "",
            rate_rule=options.rate_rule if kind.has_weights else "",
            noise=noise,
            imbalance=options.imbalance,
            stream=options.stream,
            replay=options.replay,
            momentum=options.momentum,
            decay=options.decay,
            delay=not options.no_delay,
            depth=int(depth) if kind.rule == "predicted" else 1,
            full=options.full,
            evaluate_every=options.every,
        )


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
