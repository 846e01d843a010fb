"""The paper's evaluation.

    python -m benchmarks.paper run --task har --methods rs,titan --lrs 0.02,0.05 --seeds 5 --rounds 2000 --budget 30
    python -m benchmarks.paper report

Runs that are on file are not repeated, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import machine, revision
from benchmarks.paper import store
from benchmarks.paper.jobs import results
from benchmarks.paper.methods import METHODS
from benchmarks.paper.settings import Settings
from benchmarks.paper.tasks import TASKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or report."""
    options = parse(arguments)
    if options.verb == "report":
        from benchmarks.paper import report

        report.write(options.folder)
        return 0
    wanted = store.missing(grid(options), options.folder)
    print(f"{len(wanted)} runs to do, {len(list(grid(options))) - len(wanted)} on file", flush=True)
    deadline = time.monotonic() + 60 * options.budget
    command = "python -m benchmarks.paper " + " ".join(arguments if arguments is not None else sys.argv[1:])
    origin = {"command": command, "revision": revision(), "machine": machine_name()}
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
    run = verbs.add_parser("run")
    run.add_argument("--task", choices=TASKS, default="digits")
    run.add_argument("--methods", type=_methods, default=["rs", "titan"])
    run.add_argument("--lrs", type=_numbers, default=[0.05])
    run.add_argument("--seeds", type=int, default=5)
    run.add_argument("--first-seed", type=int, default=0)
    run.add_argument("--rounds", type=int, default=2000)
    run.add_argument("--every", type=int, default=25, help="rounds between two points of the curve")
    run.add_argument("--beta", type=_numbers, default=[1.0], help="exponents of the sample weights")
    run.add_argument("--least", type=_numbers, default=[1e-6], help="least importance, as a share of the mean")
    run.add_argument("--candidates", type=_numbers, default=[30])
    run.add_argument("--noise", type=_numbers, default=[0.0])
    run.add_argument("--imbalance", type=float, default=1.0)
    run.add_argument("--stream", default="shuffled")
    run.add_argument("--replay", type=float, default=0.0)
    run.add_argument("--momentum", type=float, default=0.0)
    run.add_argument("--decay", type=float, default=0.95)
    run.add_argument("--rule", default="", help="what sets the exponent during the run")
    run.add_argument("--rate-rule", default="", help="what raises the rate with the gain")
    run.add_argument("--no-delay", action="store_true", help="score each batch right before it is trained on")
    run.add_argument("--full", action="store_true", help="true widths, whole test set")
    run.add_argument("--budget", type=float, default=60.0, help="minutes after which no further run is begun")
    run.add_argument("--jobs", type=int, default=1)
    report = verbs.add_parser("report")
    for each in (run, report):
        each.add_argument("--folder", type=Path, default=store.FOLDER)
    return parser.parse_args(arguments)


def grid(options: argparse.Namespace) -> Iterator[Settings]:
    """Yield the wanted runs, seed by seed, so that what a budget leaves unfinished is the same for all methods."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    axes = itertools.product(
        seeds, options.noise, options.lrs, options.methods, options.candidates, options.beta, options.least
    )
    for seed, noise, rate, method, candidates, beta, least in axes:
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
            full=options.full,
            evaluate_every=options.every,
        )


def machine_name() -> str:
    """Return the machine in one line."""
    facts = machine()
    return f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}"


def _methods(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in METHODS:
            raise argparse.ArgumentTypeError(f"there is no method {name!r}; known: {', '.join(METHODS)}")
    return names


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
