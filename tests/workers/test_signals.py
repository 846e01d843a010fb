"""SIGTERM as something to wait on: a worker ends between two steps, never inside one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

WORKER = """
import os, sys
from titand.workers.signals import Stop
stop = Stop()
reading, writing = os.pipe()
assert stop.wait([reading], 0) == set()
os.write(writing, b"x")
assert stop.wait([reading], None) == {reading}
assert not stop.is_set
steps = 0
print("ready", flush=True)
while not stop.is_set:
    assert stop.wait([], None) == set()
    steps += 1
assert stop.wait([], None) == set()  # from now on nobody waits
print("stopped", steps)
"""


def test_a_worker_wakes_up_to_end_and_does_not_hear_the_keyboard():

    with subprocess.Popen(
        [sys.executable, "-c", WORKER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(signal.SIGINT)
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=60)
    assert (worker.returncode, err) == (0, "")
    assert out in ("stopped 0\n", "stopped 1\n")  # the signal may come before the last wait
