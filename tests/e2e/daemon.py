"""A real daemon in a folder of its own, and a producer that pushes real digits into it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import titan
from titan.records import PushTotals, Training
from titand.demo.configuration import to_toml
from titand.demo.data import digits
from titand.runtime.waiting import readable

SECONDS = 90.0  # no test waits longer for anything; an idle machine needs a few
MOMENT = 0.05
ROOT = Path(__file__).parents[2]
WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()  # no tests, no daemon
WORKERS = ("selector", "trainer")


def sections(folder: Path) -> dict[str, dict[str, Any]]:
    """A small model on small digits, and an arena with room for a few windows, so that the daemon paces the stream."""
    return {
        "model": {"architecture": "digits_cnn", "labels": [str(digit) for digit in range(10)]},
        "model.input": {"shape": [1, 8, 8], "scale": 0.0625},
        "training": {"learning_rate": 0.03, "momentum": 0.5},
        "selection": {"device": "cpu"},
        "round": {"min_samples": 50},
        "ingest": {"arena_bytes": 1, "patience_seconds": SECONDS},
        "evaluation": {"held_out_samples": 100, "every_rounds": 20},
        "telemetry": {"jtop": "off"},
        "service": {"state_directory": str(folder / "state"), "runtime_directory": str(folder / "run")},
    }


class Daemon:
    """`titand serve`, as somebody who started it by hand sees it.

    Args:
        folder: of its configuration, log, state and sockets; its path must be short.
        changes: to the configuration, by "section.key".
    """

    def __init__(self, folder: Path, changes: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.config_path, self.log_path = folder / "titand.toml", folder / "log"
        self.address = f"unix:{folder / 'run' / 'titand.sock'}"
        self.sections = sections(folder)
        self.configure(changes or {})
        self.process: subprocess.Popen[bytes] | None = None
        self._client: titan.Client | None = None

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Write the configuration with these values changed."""
        for key, value in changes.items():
            section, name = key.rsplit(".", 1)
            self.sections.setdefault(section, {})[name] = value
        self.config_path.write_text(to_toml(self.sections))

    # ---- starting and ending

    def start(self, *prefix: str, **environment: str) -> Daemon:
        """Start it, by a command that runs commands if one is given; it takes samples some moments later."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *WITH_US, sys.executable, "-m", "titand.daemon", "serve", "--config", str(self.config_path)],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        assert self.process is not None
        return self.process.pid

    def ended(self, seconds: float = SECONDS) -> int:
        """Wait for its end and return the exit status."""
        assert self.process is not None
        status = self.process.wait(seconds)
        self._forget_client()
        return status

    def stop(self) -> int:
        """Ask it to end, and return the exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill_all(self) -> None:
        """Kill every process of it, the supervisor first, and see them gone."""
        family = self.family()
        self.signal(signal.SIGKILL)
        self.ended()
        _, alive = psutil.wait_procs(family[1:], SECONDS)
        assert not alive, "they outlive their parent"

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        assert self.process is not None
        self.process.send_signal(number)

    def family(self) -> list[psutil.Process]:
        """Return the supervisor and all below it."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def clean_up(self) -> None:
        """Leave nothing running, whatever happened, not even what a killed supervisor has left."""
        for each in psutil.process_iter(["cmdline"]):
            if str(self.config_path) in (each.info["cmdline"] or ()):
                each.kill()
        if self.process is not None:
            self.process.wait()
        self._forget_client()

    # ---- asking

    @property
    def client(self) -> titan.Client:
        """A client for questions."""
        if self._client is None:
            self._client = titan.Client(self.address, connect_timeout=SECONDS)
        return self._client

    def _forget_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def log(self) -> str:
        """Return what it has written."""
        return self.log_path.read_text(errors="replace")

    def training(self) -> Training | None:
        """Return the training; None while nobody answers."""
        try:
            return self.client.training()
        except titan.Unreachable:
            return None

    def until(self, wanted: Callable[[Training], Any], seconds: float = SECONDS) -> Training:
        """Wait until the training is as wanted, and return it. Fails at once when the daemon ends."""
        deadline = time.monotonic() + seconds
        training = None
        while time.monotonic() < deadline:
            training = self.training()
            if training is not None and wanted(training):
                return training
            assert not self.ends_within(MOMENT), f"the daemon ended:\n{self.log()}"
        raise AssertionError(f"not within {seconds:.0f} s:\n{training}\n{self.log()}")

    def until_log(self, text: str, seconds: float = SECONDS) -> str:
        """Wait for a line in the log, and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log().splitlines():
                if text in line:
                    return line
            if self.ends_within(MOMENT) and text not in self.log():
                break
        raise AssertionError(f"no line with {text!r}:\n{self.log()}")

    def ends_within(self, seconds: float) -> bool:
        """Wait so long for its end; return whether it came."""
        assert self.process is not None
        if self.process.poll() is not None:
            return True
        handle = os.pidfd_open(self.pid)
        try:
            return bool(readable([handle], seconds))
        finally:
            os.close(handle)

    # ---- what is asked most

    def quiet(self) -> Training:
        """Wait until everything that was pushed is worked up, as far as it can be."""

        def is_quiet(training: Training) -> bool:
            ledger = training.sample_ledger
            return training.state == "waiting" and ledger is not None and ledger.buffered_count <= 30

        return self.until(is_quiet)

    def push(self, count: int, seed: int = 0) -> PushTotals:
        """Push so many digits, and wait until they are settled."""
        with titan.Client(self.address, connect_timeout=SECONDS) as client:
            for x, label in stream(count, seed):
                client.push_batch(x, label)
            return client.flush(SECONDS)


def stream(count: int, seed: int):
    """Yield digits in random order, again and again, some at a time."""
    samples = digits().train
    generator = np.random.default_rng(seed)
    while count > 0:
        rows = generator.permutation(len(samples))[: min(count, 200)]
        yield samples.input[rows], samples.label[rows]
        count -= len(rows)


class Producer:
    """Pushes digits from a thread of its own until told to stop."""

    def __init__(self, daemon: Daemon) -> None:
        self._client = titan.Client(daemon.address, connect_timeout=SECONDS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None
        self._thread.start()

    def _run(self) -> None:
        try:
            for x, label in stream(10**9, seed=1):
                if self._stop.is_set():
                    return
                self._client.push_batch(x, label)
        except titan.TitanError as error:
            self._failure = error

    def finish(self) -> PushTotals:
        """Stop, wait until everything is settled, and return what became of it."""
        self._stop.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "a push hangs"
        if self._failure is not None:
            raise self._failure
        totals = self._client.flush(SECONDS)
        self._client.close()
        return totals

    def give_up(self) -> None:
        """Stop, whatever is not settled."""
        self._stop.set()
        try:
            self._client.close(timeout=0.0)
        except titan.TitanError:
            pass
        self._thread.join(SECONDS)


def process_of(training: Training, name: str):
    """Return what the status says of a process."""
    assert training.daemon is not None
    return next(each for each in training.daemon.processes if each.name == name)


def check_books(training: Training, totals: PushTotals, lost: int = 0) -> None:
    """Check the daemon's ledger against what the only client has counted by itself."""
    ledger = training.sample_ledger
    assert ledger is not None
    assert ledger.is_balanced, ledger
    assert ledger.lost_count == lost
    assert totals.unacknowledged == 0
    assert ledger.pushed_count == totals.pushed
    accepted = ledger.pushed_count - ledger.shed_count - ledger.rejected_count
    assert totals.accepted <= accepted <= totals.accepted + totals.unreported


def health_of(training: Training) -> set[str]:
    """Return the codes of the health list."""
    return {item.code for item in training.health}
