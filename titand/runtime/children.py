"""A process of the daemon, as its supervisor sees it: started as a fresh program, watched, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

from titand.clock import Clock
from titand.runtime.channels import Channel, channel_pair
from titand.runtime.descriptors import Descriptors
from titand.runtime.restarts import Restarts, describe_exit


class Child:
    """One program that is started again when it ends.

    Args:
        name: for people.
        module: what `python -m` runs.
        inherit: given the number of the child's channel end, what the child is to inherit.
        environment: of the child.
        clock: spaces restarts.
    """

    def __init__(
        self,
        name: str,
        module: str,
        inherit: Callable[[int], Descriptors],
        environment: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self.name = name
        self.restarts = Restarts(due_ns=clock.monotonic_ns())
        self.channel: Channel | None = None
        self._module = module
        self._inherit = inherit
        self._environment = dict(environment)
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 when it is not running."""
        return self._process.pid if self._process is not None else 0

    def start_if_due(self) -> bool:
        """Start it if it is to be started now; return whether it was."""
        now = self._clock.monotonic_ns()
        if self._process is not None or not self.restarts.is_due(now):
            return False
        if self.channel is not None:
            self.channel.close()
        ours, theirs = channel_pair()
        descriptors = self._inherit(theirs.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, "--fds", descriptors.to_argument()],
            pass_fds=descriptors.all(),
            stdin=subprocess.DEVNULL,
            env=self._environment,
        )
        theirs.close()
        self.channel = Channel(ours)
        self.restarts.started(now)
        return True

    def poll(self) -> int | None:
        """Return its exit code once, when it has ended."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            self._process = None
            self.restarts.ended(self._clock.monotonic_ns(), describe_exit(code))
        return code

    def signal(self, number: int) -> None:
        """Send a signal, if it is running."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for its end; kill it when it takes longer. Return whether it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, timeout_seconds))
            return True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            self._process = None


def is_stuck(pid: int, proc: str = "/proc") -> bool:
    """Tell whether no thread of a process is running, ready to run, or waiting for the disk.

    A silent process that is runnable is only slow, however starved; one that sleeps or is stopped waits for something
    that does not come.
    """
    try:
        for thread in os.listdir(f"{proc}/{pid}/task"):
            with open(f"{proc}/{pid}/task/{thread}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[0] in (b"R", b"D"):
                    return False
    except OSError:
        return False  # it has just ended, which is seen elsewhere
    return True


def kill(pid: int) -> None:
    """End a process at once, whether or not it is our own child."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
