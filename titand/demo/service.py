"""The demo's daemon: a real `titand serve` in a folder of its own, gone when the demo is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

STOP_SECONDS = 25.0  # the daemon's own deadline is 20
LOG_LINES = 25  # of a daemon that failed


class Service:
    """A daemon that was started here.

    Args:
        folder: its configuration titand.toml is there; its log, state and sockets go there.
    """

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder / 'run' / 'titand.sock'}"
        self.log_path = folder / "titand.log"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "titand.daemon", "serve", "--config", str(folder / "titand.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def is_running(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def stop(self) -> tuple[int, list[str]]:
        """Ask it to end; end what has not ended by the deadline.

        Returns:
            Its exit status, and the names of processes that it left behind and that were killed here.
        """
        family = [] if not self.is_running else psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _, left = psutil.wait_procs(family, timeout=3.0)
        for process in left:
            process.kill()
        return self._process.returncode, [f"{process.pid}" for process in left]


@contextmanager
def running(folder: Path) -> Iterator[Service]:
    """Start a daemon and make sure that it is gone at the end, whatever happens in between."""
    service = Service(folder)
    try:
        yield service
    finally:
        if service.is_running:
            service.stop()
