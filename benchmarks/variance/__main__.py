"""How far a batch's gradient is from the window's, method by method.

    python -m benchmarks.variance run --data digits,har --stages 0,100,1000,6000
    python -m benchmarks.variance run --data har --stages 1000 --candidates 15,30,60 --methods two-stage,predicted
    python -m benchmarks.variance report
    python -m benchmarks.variance check --budget 10

What is on file is not measured again, unless `--again` says so; `check` measures some of it, drawn by chance, and
compares. Traces are kept in build/variance.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.arguments import some_of
from benchmarks.measure import machine_name, revision
from benchmarks.paper.tasks import TASKS
from benchmarks.variance import check, report, store
from benchmarks.variance.error import relative_error
from benchmarks.variance.methods import METHODS
from benchmarks.variance.store import Case, Record
from benchmarks.variance.trace import Conditions, recorded
from titand.errors import NotFound

SHORT = {"fashion": "fashion-cnn", "cifar": "cifar-mobilenet", "speech": "speech-cnn"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, report or check; 1 if data were missing or figures astray."""
    options = parse(arguments)
    if options.verb == "report":
        report.write(options.folder)
        return 0
    torch.set_num_threads(1)
    if options.verb == "check":
        return min(1, check.measure_some(options.folder, options.seed, options.budget))
    command = "python -m benchmarks.variance " + " ".join(arguments if arguments is not None else sys.argv[1:])
    origin = {"command": command, "revision": revision(), "machine": machine_name()}
    deadline = time.monotonic() + 60 * options.budget
    missing = set()
    for seed, task in itertools.product(range(options.seeds), options.data):
        conditions = Conditions(
            SHORT.get(task, task),
            seed,
            window=options.window,
            rate=options.rate,
            classes=options.classes,
            noise=options.noise,
            imbalance=options.imbalance,
            whole_model=options.full_model,
        )
        try:
            _measure(conditions, options, origin, deadline)
        except NotFound as error:
            if task not in missing:
                print(f"{task}: not measured. {error}", flush=True)
            missing.add(task)
    return 1 if missing else 0


def _measure(conditions: Conditions, options: argparse.Namespace, origin: dict[str, str], deadline: float) -> None:
    there = store.records(options.folder)
    grid = list(itertools.product(options.methods, options.batch, options.candidates))
    wanted = {
        stage: [
            case
            for case in dict.fromkeys(_case(conditions.at_stage(stage), *each) for each in grid)
            if options.again or case.key not in there
        ]
        for stage in options.stages
    }
    stages = [stage for stage in options.stages if wanted[stage]]
    if not stages or time.monotonic() > deadline:
        return
    for stage, trace in recorded(conditions, stages).items():
        for case in wanted[stage]:
            error = relative_error(METHODS[case.method], trace, case.batch_size, case.capacity, options.draws)
            store.append(Record(case, error, origin), options.folder)
            print(f"{case.key}: {error.mean:.4f}", flush=True)


def _case(conditions: Conditions, method: str, batch_size: int, capacity: int) -> Case:
    """A method without a filter has no candidate budget: it is measured once."""
    return Case(conditions, method, batch_size, capacity if METHODS[method].rule else 30)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.variance", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run")
    run.add_argument("--data", type=some_of({**SHORT, **TASKS}), default=["digits"])
    run.add_argument("--methods", type=some_of(METHODS), default=list(METHODS))
    run.add_argument("--stages", type=_integers, default=[0, 100, 1000, 6000], help="rounds of training by RS")
    run.add_argument("--batch", type=_integers, default=[10])
    run.add_argument("--candidates", type=_integers, default=[30])
    run.add_argument("--window", type=int, default=100)
    run.add_argument("--rate", type=float, default=0.05)
    run.add_argument("--classes", type=int, default=0, help="only the first so many; 0: all")
    run.add_argument("--noise", type=float, default=0.0, help="share of labels that are wrong")
    run.add_argument("--imbalance", type=float, default=1.0, help="times the last class is rarer than the first")
    run.add_argument("--full-model", action="store_true", help="the gradient by all parameters as well")
    run.add_argument("--seeds", type=int, default=5)
    run.add_argument("--draws", type=int, default=5, help="of each window")
    run.add_argument("--again", action="store_true", help="measure anew what is on file")
    run.add_argument("--budget", type=float, default=60.0, help="minutes after which no further trace is begun")
    checking = verbs.add_parser("check")
    checking.add_argument("--seed", type=int, default=0, help="of which errors are drawn")
    checking.add_argument("--budget", type=float, default=10.0)
    for each in (run, checking, verbs.add_parser("report")):
        each.add_argument("--folder", type=Path, default=store.FOLDER)
    return parser.parse_args(arguments)


def _integers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
