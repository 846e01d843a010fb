"""An emulated board seen from outside: its readings, its jtop service, and a telemetry worker that lives on it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.telemetry.jetson_emulation.tree import Tree
from titand.runtime.waiting import readable

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
JTOP_PYTHON = REPOSITORY / ".venv-jtop/bin/python"
PATIENCE_SECONDS = 40.0


class NamespaceRefused(Exception):
    """This user may not make mount namespaces here."""


class EmulatedBoard:
    """One board: a namespace that lives as long as this object is open."""

    def __init__(self, folder: Path, name: str, nvml: bool = False) -> None:
        self.tree = Tree.build(folder, name, nvml)
        unit = self.tree.root / "overlay/etc/systemd/system/jtop.service"
        unit.parent.mkdir(parents=True)
        unit.write_text(f"[Service]\nExecStart={JTOP_PYTHON.with_name('jtop')} --force\n")
        self._holder = _python(["run", str(self.tree.root), "--", "sh", "-c", "echo ready; cat"])
        answer = read_line(self._holder) or ""
        if answer != "ready":
            answer += drain(self._holder)
            self.close()
            raise NamespaceRefused(answer) if answer.startswith("refused") else AssertionError(answer)

    def close(self) -> None:
        """End everything on the board."""
        end(self._holder)

    def popen(self, *command: str, start_new_session: bool = False) -> subprocess.Popen[bytes]:
        """Start a program on the board."""
        return _python(["enter", str(self.tree.root), "--", *command], start_new_session)

    @contextmanager
    def jtop_service(self, *version: str) -> Iterator[Service]:
        """Run the genuine jtop service on the board."""
        service = Service(self, *version)
        try:
            yield service
        finally:
            service.kill()

    @contextmanager
    def worker(self, **options: Any) -> Iterator[Worker]:
        """Run a telemetry worker on the board.

        Args:
            options: arguments of the jtop watcher.
        """
        worker = Worker(self.popen(sys.executable, str(HERE / "worker_program.py"), json.dumps(options)))
        try:
            yield worker
        finally:
            end(worker.process)


class Service:
    """The genuine jtop service, with the group of its processes."""

    def __init__(self, board: EmulatedBoard, *version: str) -> None:
        self.socket = board.tree.root / "run/jtop.sock"
        self.socket.unlink(missing_ok=True)
        root = str(board.tree.root)
        command = [str(JTOP_PYTHON), str(HERE / "jetson_emulation/service.py"), root, *version]
        self.process = board.popen(*command, start_new_session=True)
        self.log = ""
        wait_for(self._is_ready)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the service."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, as an out-of-memory kill would: the socket's file stays."""
        try:
            self.signal(signal.SIGKILL)  # its children may outlive it
        except ProcessLookupError:
            pass
        end(self.process)

    def _is_ready(self) -> bool:
        self.log += drain(self.process)
        if self.process.poll() is not None:
            raise AssertionError(f"the jtop service ended:\n{self.log}")
        return self.socket.exists() and self.socket.stat().st_mode & 0o777 == 0o660


class Worker:
    """A telemetry worker and its readings."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def until(self, claim: Callable[[dict[str, Any]], object], patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return the first reading from now on for which the claim holds."""
        deadline = time.monotonic() + patience
        reading = None
        while (line := read_line(self.process, deadline)) is not None:
            reading = json.loads(line)
            try:
                if claim(reading):
                    return reading
            except LookupError:  # what the claim is about is unknown, so far
                pass
        raise AssertionError(f"not within {patience} s; the last reading was {json.dumps(reading, indent=1)}")

    def source(self, name: str, claim: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return the first state of a source for which the claim holds."""
        return source(self.until(lambda reading: claim(source(reading, name))), name)


def source(reading: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the state of a source in a reading."""
    return {entry["name"]: entry for entry in reading["sources"]}[name]


def values(reading: dict[str, Any]) -> dict[str, Any]:
    """Return the bare values of a reading by quantity."""
    return {name: entry["value"] for name, entry in reading["values"].items()}


def wait_for(claim: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> None:
    """Wait for something outside that announces itself nowhere, looking every 20 ms."""
    deadline = time.monotonic() + patience
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s")
        select.select([], [], [], 0.02)


def read_line(process: subprocess.Popen[bytes], deadline: float | None = None) -> str | None:
    """Return the next line of a process, or None when it has ended, or has no line before the deadline."""
    stream = process.stdout
    assert stream is not None
    line = bytearray()
    deadline = deadline or time.monotonic() + PATIENCE_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if readable([stream.fileno()], left):
            byte = os.read(stream.fileno(), 1)
            if byte in (b"", b"\n"):
                return line.decode() if byte else None
            line += byte
    return None


def drain(process: subprocess.Popen[bytes]) -> str:
    """Return what a process has printed so far."""
    stream, text = process.stdout, b""
    assert stream is not None
    while readable([stream.fileno()], 0) and (chunk := os.read(stream.fileno(), 1 << 16)):
        text += chunk
    return text.decode(errors="replace")


def end(process: subprocess.Popen[bytes]) -> None:
    """Close a process's input, which is its sign to leave, and see it gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _python(arguments: list[str], start_new_session: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.telemetry.jetson_emulation", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
        start_new_session=start_new_session,
    )
