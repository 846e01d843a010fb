"""What the supervisor does about a process that takes its time to die."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack

import pytest

from tests.clocks import HandClock
from titand.runtime.boards import Boards, create_boards
from titand.runtime.children import Child
from titand.runtime.descriptors import Descriptors
from titand.runtime.log import Log
from titand.runtime.supervisor import Rules, Supervisor
from titand.runtime.systemd import Notifier

SECOND = 1_000_000_000


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


def process(cleanup: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    """Start something that is ended with the test."""
    started = cleanup.enter_context(subprocess.Popen(command))
    cleanup.callback(started.kill)
    return started


def dead_but_not_gone(cleanup: ExitStack) -> int:
    """Return a process that no signal impresses, as one that the kernel cannot let go of yet."""
    started = process(cleanup, "true")
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    return started.pid


@pytest.mark.parametrize(("name", "spared"), [("front", True), ("telemetry", True), ("selector", False)])
def test_only_a_worker_whose_end_is_not_told_is_the_zygotes_fault(cleanup, name, spared):
    clock = HandClock(SECOND)
    descriptor = create_boards()
    cleanup.callback(os.close, descriptor)
    boards = Boards(descriptor, clock)
    children = {
        each: Child(each, lambda descriptors: 0, lambda end: Descriptors(), {}, clock)
        for each in ("front", "zygote", "telemetry")
    }
    rules = Rules(stop_seconds=1.0, hang_seconds=2.0, restart_seconds=1.0)
    supervisor = Supervisor(
        *children.values(), lambda name, format: [], boards, rules, {}, lambda: ({}, []), Notifier({}), clock,
        Log("titand", "error", {}),
    )  # fmt: skip
    zygote = process(cleanup, "sleep", "infinity")
    children["zygote"].pid = zygote.pid
    if name in children:
        children[name].pid = dead_but_not_gone(cleanup)
    else:
        supervisor._pair_pids = {name: dead_but_not_gone(cleanup)}
    boards.beat(name)

    for _ in range(3):  # silent for too long, killed, and still there after as long again
        clock.now += 3 * SECOND
        supervisor._kill_stuck()

    assert name in supervisor._hung_since_ns
    assert ("zygote" not in supervisor._hung_since_ns) is spared
    if spared:
        assert zygote.poll() is None
    else:
        assert zygote.wait(60) == -signal.SIGKILL
