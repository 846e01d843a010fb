"""The demo shows what it promises on the real service, and fails loudly when it cannot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

pytest.importorskip("torch")

INTERRUPTIBLE = ("env", "--default-signal=INT")  # a background job of a shell ignores it, and so do its children
PROMISES = (
    r"Choosing (pays|does not pay here): the gradient of a random batch has \d+\.\d\d \+- \d+\.\d\d times",
    r"pushed: the sum of the above",
    r"360 samples never streamed: 0\.\d{3} \+- 0\.\d{3}",
    r"Done in \d+ s",
)


@pytest.fixture
def start(tmp_path):
    """Start the demo with its temporary folder under ours; nothing of it may be left in the end."""
    started = []

    def _start(*arguments, **environment):
        process = subprocess.Popen(
            [*INTERRUPTIBLE, sys.executable, "-m", "titand.demo", *arguments],
            env=os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield _start
    for process in started:
        if process.poll() is None:  # the test failed; the daemon would outlive a demo that is killed
            for each in (process, *psutil.Process(process.pid).children(recursive=True)):
                each.kill()
        process.wait()
        process.stdout.close()
    assert [each.info["pid"] for each in psutil.process_iter(["pid", "cmdline"]) if belongs(each, tmp_path)] == []
    assert list(tmp_path.iterdir()) == []


def belongs(process, folder):
    return any(str(folder) in word for word in process.info["cmdline"] or [])


def test_it_goes_from_nothing_to_a_judged_model_file(start):
    process = start("--seconds", "10")
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    for promise in PROMISES:
        assert re.search(promise, text), f"{promise} not in:\n{text}"


def test_it_fails_when_nothing_was_learned(start):
    # The environment overrules the demo's configuration: the daemon trains, and nothing moves.
    process = start("--seconds", "1", TITAND_TRAINING__LEARNING_RATE="1e-12")
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "FAILED: It did not learn" in text


def test_it_fails_when_the_daemon_cannot_start(start):
    process = start(TITAND_TRAINING__LEARNING_RATE="fast")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The daemon ended" in text
    assert "training.learning_rate: expected a number" in text  # the daemon's own words


def until_active(process):
    """Wait for the first round, and return the daemon and its children."""
    for line in process.stdout:
        if line.rstrip().endswith("active"):
            break
    (daemon,) = psutil.Process(process.pid).children()
    return daemon, daemon.children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_takes_the_daemon_along_when_it_is_interrupted(start, number):
    process = start("--seconds", "60")
    daemon, family = until_active(process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    _, alive = psutil.wait_procs([daemon, *family], timeout=5)
    assert alive == []


def test_it_fails_when_the_daemon_is_killed_and_leaves_nothing_behind(start):
    process = start("--seconds", "60")
    daemon, family = until_active(process)
    daemon.send_signal(signal.SIGKILL)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The daemon ended" in text
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def test_a_data_set_that_is_not_there_is_named(start):
    process = start("--data", "/nowhere.npz")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "/nowhere.npz: there is no such file" in text
