"""Every step at which a process may be killed or refused, by strace: the k-th call of a kind, for all kinds and k."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.stores import Found, Store
from tests.faults.victim import DONE

ROOT = Path(__file__).parents[2]
CALLS = "%file,%desc"
# Memory, not files; and what Python asks of a terminal. An error there is no fault of a disk.
NO_STEPS = {"mmap", "ioctl"}
WRITES = {"write", "pwrite64", "pwritev"}
NAMES = {"mkdir", "mkdirat", "rmdir", "rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat"}
# What there is to choose from. A kill before a call that changes nothing leaves what a kill before the next one leaves.
STEPS = {"kill": WRITES | NAMES | {"fsync", "fdatasync", "fallocate", "ftruncate"}, "lie": WRITES}
CALL = re.compile(r"^(\w+)\(.* = (-?\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Point:
    """A fault at one step.

    Attributes:
        call: the kind of system call.
        nth: of that kind, from 1.
        what: "kill", or the name of an errno, or "lie": it does nothing and claims to have done it.
        for_good: whether all calls of the kind fail from then on.
        claim: what a lie returns.
    """

    call: str
    nth: int
    what: str = "kill"
    for_good: bool = False
    claim: int = 0

    @property
    def kind(self) -> str:
        """For counting."""
        return self.what if self.what in ("kill", "lie") else f"{self.what} {'for good' if self.for_good else 'once'}"

    @property
    def injection(self) -> str:
        """As strace wants it."""
        what = {"kill": "signal=KILL", "lie": f"retval={self.claim}"}.get(self.what, f"error={self.what}")
        return f"inject={self.call}:{what}:when={self.nth}{'+' if self.for_good else ''}"


@dataclass(frozen=True)
class Outcome:
    """What became of the process.

    Attributes:
        status: its exit status, see `victim`; below 0 the signal that killed it.
        found: what it has found, if it got so far.
        calls: the kind and the result of each call that it made, in order.
    """

    status: int
    found: Found | None
    calls: tuple[tuple[str, int], ...]

    @property
    def acknowledged(self) -> bool:
        """Whether it said that it had done it."""
        return self.status == DONE


class Victim:
    """A process that works on a store of some kind under faults.

    Args:
        store: of the kind and size.
        folder: for strace's output.
    """

    def __init__(self, store: type[Store], folder: Path, size_bytes: int = 6000) -> None:
        self.store = store
        self.size_bytes = size_bytes
        self._trace = folder / "trace"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Victim:
        if not shutil.which("strace"):
            pytest.skip("strace is not installed (Debian package strace)")
        command = [sys.executable, "-m", "tests.faults.victim", self.store.__name__, str(self.size_bytes)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def open(self, folder: Path) -> Store:
        """Return the store in a folder, for use without faults."""
        return self.store(folder, self.size_bytes)

    def do(self, verb: str, number: int, folder: Path, point: Point | None = None) -> Outcome:
        """Let it "put" a number or "get" what is there; with a fault, if one is given."""
        pid = int(self._ask(f"{verb} {number} {folder}"))
        injection = ["-e", point.injection] if point else []
        command = ["strace", "-p", str(pid), "-o", str(self._trace), "-e", f"trace={CALLS}", *injection]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            os.kill(pid, signal.SIGCONT)
            if "attached" not in said:
                pytest.skip(f"strace may not trace here: {said.strip()}")
            status, found = json.loads(self._answer())
        trace = self._trace.read_text()
        assert point is None or "(INJECTED)" in trace or "+++ killed by SIGKILL" in trace, f"{point} was not reached"
        calls = tuple((name, int(result)) for name, result in CALL.findall(trace))
        return Outcome(status, found and Found(found[0], tuple(found[1])), calls)

    def points(self, verb: str, number: int, folder: Path, *kinds: Point) -> Iterator[Point]:
        """Yield every point of doing something at which it can make a difference, for each of some kinds of faults."""
        calls = self.do(verb, number, folder).calls
        for kind in kinds:
            seen: Counter[str] = Counter()
            for call, result in calls:
                seen[call] += 1
                if call not in NO_STEPS and call in STEPS.get(kind.what, {call}):
                    yield replace(kind, call=call, nth=seen[call], claim=result)

    def _ask(self, line: str) -> str:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()
