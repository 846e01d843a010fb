"""A process of the daemon, as its supervisor sees it: forked, watched, ended.

Children are forked and not started as fresh programs, so that they share the interpreter's memory: 7 MB less each. It
is safe because the supervisor has one thread, which is checked before each fork, and loads neither gRPC nor torch;
every child imports what it needs by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

from titand.clock import Clock
from titand.runtime.channels import Channel, channel_pair
from titand.runtime.descriptors import Descriptors
from titand.runtime.restarts import Restarts, describe_exit
from titand.runtime.waiting import readable

_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX = -8


class Child:
    """One process that is started again when it ends.

    Args:
        name: for people, at most 8 characters.
        run: what the child does with its descriptors; returns its exit status.
        inherit: given the number of the child's channel end, what the child may use.
        environment: variables that the child sets for itself.
        clock: spaces restarts.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Descriptors], int],
        inherit: Callable[[int], Descriptors],
        environment: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self.name = name
        self.pid = 0
        self.restarts = Restarts(due_ns=clock.monotonic_ns())
        self.channel: Channel | None = None
        self._run = run
        self._inherit = inherit
        self._environment = dict(environment)
        self._clock = clock

    def start_if_due(self) -> bool:
        """Start it if it is to be started now; return whether it was."""
        now = self._clock.monotonic_ns()
        if self.pid or not self.restarts.is_due(now):
            return False
        if self.channel is not None:
            self.channel.close()
        ours, theirs = channel_pair()
        descriptors = self._inherit(theirs.fileno())

        def run() -> int:
            os.environ.update(self._environment)
            return self._run(descriptors)

        self.pid = fork(self.name, run, descriptors.all())
        theirs.close()
        self.channel = Channel(ours)
        self.restarts.started(now)
        return True

    def poll(self) -> int | None:
        """Return its exit code once, when it has ended."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        self.pid = 0
        self.restarts.ended(self._clock.monotonic_ns(), describe_exit(code))
        return code

    def signal(self, number: int) -> None:
        """Send a signal, if it is running."""
        if self.pid:
            os.kill(self.pid, number)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for its end; kill it when it takes longer. Return whether it ended by itself."""
        if not self.pid:
            return True
        handle = os.pidfd_open(self.pid)
        try:
            in_time = bool(readable([handle], timeout_seconds))
        finally:
            os.close(handle)
        if not in_time:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0
        return in_time


def fork(name: str, run: Callable[[], int], keep: Collection[int]) -> int:
    """Fork a process that does `run` and nothing else; return its id.

    The kernel ends it with its parent, however that ends. It keeps the standard streams and the descriptors that are
    named, all others are closed.

    Raises:
        RuntimeError: there is more than one thread, and the locks of the others would be held for ever in the child.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"{threads} threads where one was expected: {name} is not forked")
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(name, run, keep, parent)
    return pid


def _become(name: str, run: Callable[[], int], keep: Collection[int], parent: int) -> NoReturn:
    """Turn a fresh fork into what it is to be. Never returns into the parent's code."""
    status = os.EX_SOFTWARE
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)  # it was gone before we could ask to be told
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_ARENA_MAX, 2)  # memory that many threads needed for a moment is given back
        _close_all_but({0, 1, 2, *keep})
        with open("/proc/self/comm", "w") as comm:
            comm.write(f"titand-{name}"[:15])
        status = run()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _close_all_but(keep: Collection[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed the folder


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
