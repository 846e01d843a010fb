"""When memory runs out a worker dies first, and nothing of the service but its round is lost."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

from tests.e2e.daemon import WORKERS, health_of, process_of
from tests.faults.groups import group
from tests.faults.processes import family_of
from tests.faults.witness import witnessed

MEBIBYTE = 1 << 20
BALLAST = "import sys; held = [bytes([1]) * (1 << 20) for _ in sys.stdin]"  # one more for each line


@contextmanager
def ballast(within):
    """A program in a group that takes a mebibyte more each time it is asked."""
    command = [*within.entrance, sys.executable, "-c", BALLAST]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as program:
        try:
            yield lambda: (program.stdin.write(b"\n"), program.stdin.flush())
        finally:
            program.kill()


def test_when_memory_runs_out_a_worker_dies_and_nobody_else(daemons, tally):
    with group("memory", "memory.limit_in_bytes memory.max") as memory:
        daemon = daemons().start(*memory.entrance)
        try:
            with witnessed(daemon) as books:
                before = family_of(daemon.pid)
                memory.limit_memory(memory.memory_bytes + 8 * MEBIBYTE)
                with ballast(memory) as grow:
                    books.until(lambda: grow() and memory.memory_kills())
                memory.limit_memory(None)
                books.until(
                    lambda: all(family_of(daemon.pid).get(each, before[each]) != before[each] for each in WORKERS)
                )
                books.go_on()
                after = family_of(daemon.pid)
            assert {name for name in before if after[name] != before[name]} == set(WORKERS)
            training = daemon.training()
            assert "killed by SIGKILL" in process_of(training, "trainer").last_exit
            assert health_of(training) == {"PROCESS_RESTARTED"}
            assert daemon.stop() == 0
        finally:
            daemon.clean_up()
    tally["memory ran out"] += 1
