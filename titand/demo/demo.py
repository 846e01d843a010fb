"""titand demo: the whole service on real data, from an empty folder to a judged model file.

A daemon in a temporary folder, a client that streams real samples to it, rounds, an exported file, and a fresh
process that judges the file on samples that were never streamed. When learning did not happen, it ends with status 1
and says why.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

import titan
from titan.records import PushTotals, Training
from titand.demo import data, screen
from titand.demo.configuration import sections, to_toml
from titand.demo.data import Dataset
from titand.demo.files import Samples
from titand.demo.service import Service, running
from titand.demo.verdict import Outcome, complaints, interval
from titand.errors import TitanError

MESSAGE = 32  # samples a push
START_SECONDS = 60.0  # until the first round; torch alone takes seconds to load
STOP_SECONDS = 10.0  # for the push that is under way


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


def stream(client: titan.Client, samples: Samples, seed: int, stop: threading.Event) -> None:
    """Push all samples again and again, in another order each time, until told to stop."""
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(len(samples))
        for start in range(0, len(order), MESSAGE):
            if stop.is_set():
                return
            part = samples.at(order[start : start + MESSAGE])
            client.push_batch(part.input, part.label)


def train(service: Service, dataset: Dataset, seconds: float) -> tuple[Training, PushTotals]:
    """Stream for so many seconds after the first round, and show what happens.

    Raises:
        DemoFailed: the daemon ended, or no round came.
    """
    print(screen.HEADER)
    stop = threading.Event()
    # The client is left first: closing it ends a push that waits for a daemon that is gone.
    with ThreadPoolExecutor(1) as pool, titan.Client(service.address, connect_timeout=START_SECONDS) as client:
        streaming = pool.submit(stream, client, dataset.train, 0, stop)
        try:
            start = time.monotonic()
            end = start + START_SECONDS
            was_trained = False
            while time.monotonic() < end and not streaming.done():
                training = reading(service, client)
                if training is not None:
                    print(screen.progress(time.monotonic() - start, training), flush=True)
                    if training.round_count and not was_trained:
                        was_trained = True
                        end = time.monotonic() + seconds
                wait([streaming], timeout=1.0)
        finally:
            stop.set()
        if not wait([streaming], timeout=STOP_SECONDS).done:
            raise DemoFailed(f"The daemon has taken no samples for {STOP_SECONDS:.0f} s.")
        streaming.result()  # raises what went wrong with it
        if not was_trained:
            raise DemoFailed(f"No round within {START_SECONDS:.0f} s.")
        totals = client.flush(STOP_SECONDS)
        return client.training(), totals


def reading(service: Service, client: titan.Client) -> Training | None:
    """Return the training; None while the daemon has not opened its socket.

    Raises:
        DemoFailed: the daemon ended.
    """
    if not service.is_running:
        raise DemoFailed("The daemon ended.")
    try:
        return client.training()
    except titan.Unreachable:
        return None


def export(service: Service, path: Path) -> None:
    """Snapshot the model and export it the way a user does.

    Raises:
        DemoFailed: titanctl failed.
    """
    with titan.Client(service.address) as client:
        client.create_snapshot("titand demo")
    _run("titan.cli.main", "--address", service.address, "export-model", str(path), "--format", "safetensors")


def judge(path: Path, name: str) -> tuple[float, int]:
    """Return the accuracy of a model file on the unseen samples of a data set, and their number."""
    answer: dict[str, Any] = json.loads(_run("titand.demo.judge", str(path), "--data", name))
    return answer["accuracy"], answer["sample_count"]


def run(name: str, seconds: float, folder: Path) -> Outcome:
    """Run the demo in an empty folder.

    Raises:
        DemoFailed, TitanError, titan.TitanError: it could not be brought to its end.
    """
    dataset = data.load(name)
    (folder / "titand.toml").write_text(to_toml(sections(dataset, folder)), encoding="utf-8")
    print(
        f"{dataset.name}: {len(dataset.train):,} samples of {len(dataset.train.class_names)} classes are streamed; "
        f"judged by {len(dataset.test):,} others ({dataset.split}).\n"
    )
    model_path = folder / "model.safetensors"
    with running(folder) as service:
        try:
            training, totals = train(service, dataset, seconds)
            export(service, model_path)
        except (DemoFailed, titan.TitanError) as error:
            raise DemoFailed(f"{error}\n\nThe daemon's last lines:\n{service.log_tail()}") from error
        exit_status, left_behind = service.stop()
    accuracy, sample_count = judge(model_path, name)
    return Outcome(
        training,
        totals,
        len(dataset.train),
        accuracy,
        sample_count,
        dataset.floor,
        exit_status,
        tuple(left_behind),
    )


def report(outcome: Outcome) -> None:
    """Print what was found."""
    training = outcome.training
    print(f"\n{screen.gain(training)}\n\nWhere every sample has gone:")
    if training.sample_ledger:
        print(*screen.account(training.sample_ledger), sep="\n")
    evaluation = training.evaluation
    if evaluation:
        accuracy = screen.with_margin(evaluation.accuracy, evaluation.accuracy_margin, ".3f")
        is_flattering = outcome.totals.pushed > outcome.streamed_count
        remark = " (the stream repeats itself, so this flatters)" if is_flattering else ""
        print(f"\nHeld out by the daemon: {accuracy}{remark}")
    margin = interval(outcome.accuracy, outcome.sample_count)
    print(f"Exported, loaded in a fresh process, {outcome.sample_count:,} samples never streamed: ", end="")
    print(screen.with_margin(outcome.accuracy, margin, ".3f"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `titand demo`; return its exit status."""
    parser = argparse.ArgumentParser(prog="titand demo", description="The whole service on real data.")
    parser.add_argument(
        "--data",
        default="digits",
        help="digits (in the package), fashion-mnist, motionsense, or a path: a folder with a folder of images for "
        "each class, a .npz, a .csv, an IDX file",
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to train after the first round")
    given = parser.parse_args(arguments)
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the daemon is stopped, too
    try:
        with tempfile.TemporaryDirectory(prefix="titand-demo-") as folder:
            outcome = run(given.data, given.seconds, Path(folder))
    except (DemoFailed, TitanError, titan.TitanError) as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    report(outcome)
    wrong = complaints(outcome)
    for each in wrong:
        print(f"\nFAILED: {each}", file=sys.stderr)
    print(f"\n{'Failed' if wrong else 'Done'} in {time.monotonic() - begin:.0f} s.")
    return 1 if wrong else 0


def _run(module: str, *arguments: str) -> str:
    """Run a module in a fresh interpreter and return what it prints."""
    result = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise DemoFailed(f"{module} ended with status {result.returncode}: {result.stderr.strip()}")
    return result.stdout
