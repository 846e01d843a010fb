"""The zygote: has imported torch, does nothing with it, and forks selector and trainer when told to.

Importing torch costs over a second and 144 MB of private memory; two forked workers share it. That is safe because
this process has one thread, which is checked before each fork, and never loads gRPC. Its memory is frozen out of the
garbage collector first, so that the collector's marks do not copy it page by page into the children.

Selector and trainer are a pair: when one ends, the other is ended too, and the supervisor asks for a new pair.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from titand.clock import Clock, SystemClock
from titand.runtime.channels import Channel, ChannelClosed, channel_pair
from titand.runtime.children import fork
from titand.runtime.descriptors import Descriptors
from titand.runtime.waiting import readable
from titand.workers import selector_process, trainer_process

_NICENESS = (
    10  # the front, and the apps that push, wake up at once; a round takes as long where nobody else wants the core
)


class Zygote:
    """Forks the pair on request, and tells the supervisor what became of it.

    Messages from the supervisor: {"verb": "fork"}, {"verb": "stop"}. To it: {"event": "ready"},
    {"event": "forked", "pids": {...}}, {"event": "ended", "codes": {name: code}, "ended_by_us": [name]}.
    """

    def __init__(self, descriptors: Descriptors, clock: Clock) -> None:
        self._descriptors = descriptors
        self._supervisor = Channel.of_descriptor(descriptors.supervisor)
        self._clock = clock
        self._pids: dict[int, str] = {}
        self._codes: dict[str, int] = {}
        self._ended_by_us: list[str] = []

    def run(self) -> int:
        """Serve until the supervisor is gone or says stop."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the supervisor says when
        gc.collect()
        gc.freeze()
        try:
            self._serve(reading)
        except ChannelClosed:
            pass  # the supervisor is gone: the workers die with us, see children.py
        return 0

    def _serve(self, children: int) -> None:
        self._supervisor.send({"event": "ready"})
        while True:
            found = readable([self._supervisor.fileno(), children])
            if children in found:
                os.read(children, 4096)
                self._reap()
            if self._supervisor.fileno() in found and (message := self._supervisor.receive(0)) is not None:
                if message["verb"] == "stop":
                    self._stop()
                    return
                if message["verb"] == "fork" and not self._pids:
                    self._fork_pair()

    def _fork_pair(self) -> None:
        for_selector, for_trainer = channel_pair()
        self._codes, self._ended_by_us = {}, []
        descriptors = replace(self._descriptors, supervisor=-1)
        runs: list[tuple[str, socket.socket, Callable[[Descriptors, Channel, Clock], int]]] = [
            ("selector", for_selector, selector_process.run_selector),
            ("trainer", for_trainer, trainer_process.run_trainer),
        ]
        for name, end, run in runs:

            def become(run: Callable[[Descriptors, Channel, Clock], int] = run, end: socket.socket = end) -> int:
                _step_back()
                return run(descriptors, Channel(end), self._clock)

            self._pids[fork(name, become, (*descriptors.all(), end.fileno()))] = name
        for_selector.close()
        for_trainer.close()
        self._supervisor.send({"event": "forked", "pids": {name: pid for pid, name in self._pids.items()}})

    def _reap(self) -> None:
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._codes[self._pids.pop(pid)] = os.waitstatus_to_exitcode(status)
            for partner, name in self._pids.items():
                os.kill(partner, signal.SIGKILL)  # it works on what is gone: both start again
                self._ended_by_us.append(name)
            if not self._pids:
                self._supervisor.send({"event": "ended", "codes": self._codes, "ended_by_us": self._ended_by_us})

    def _stop(self) -> None:
        """End the selector, then the trainer, which then writes what nobody changes any more."""
        for wanted in ("selector", "trainer"):
            for pid, name in list(self._pids.items()):
                if name == wanted:
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, signal.SIGTERM)
                    os.waitpid(pid, 0)
                    del self._pids[pid]


def _step_back() -> None:
    """Let everybody else go first: for processor time, and when memory runs out."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("800")
    try:
        os.nice(_NICENESS)
    except PermissionError:
        print("titand: a worker may not lower its priority; set Nice= in the unit", file=sys.stderr)


def run_zygote(descriptors: Descriptors) -> int:
    """Serve until the supervisor is gone or says stop."""
    return Zygote(descriptors, SystemClock()).run()


def main(arguments: list[str] | None = None) -> int:
    """Start a zygote by itself, for benchmarks."""
    parser = argparse.ArgumentParser(prog="titand-zygote")
    parser.add_argument("--fds", required=True)
    return run_zygote(Descriptors.from_argument(parser.parse_args(arguments).fds))


if __name__ == "__main__":
    sys.exit(main())
