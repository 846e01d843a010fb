"""A whole daemon for a benchmark: started in a temporary folder, fed, asked, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import titan


@dataclass(frozen=True)
class Service:
    """A running daemon.

    Attributes:
        address: of its main socket.
        pid: of its supervisor.
        started: when its program was started, `time.perf_counter`.
    """

    address: str
    pid: int
    started: float

    def pids(self) -> dict[str, int]:
        """Return the process ids by name, once all of them are there."""
        with titan.Client(self.address) as client:
            while True:
                with contextlib.suppress(titan.Unreachable):  # it is still starting
                    daemon = client.training().daemon
                    processes = {p.name: p.pid for p in daemon.processes if p.pid} if daemon else {}
                    if {"front", "zygote", "selector", "trainer", "telemetry"} <= processes.keys():
                        return {"supervisor": self.pid, **processes}
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    raise RuntimeError("the daemon ended while it was starting; see above")
                time.sleep(0.05)


@contextmanager
def running(plain: Mapping[str, Any]) -> Iterator[Service]:
    """Start a daemon with this configuration, stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="ti") as folder:
        path = Path(folder) / "titand.toml"
        service = {"state_directory": f"{folder}/s", "runtime_directory": f"{folder}/r", "log_level": "warning"}
        path.write_text(_toml({**plain, "service": {**plain.get("service", {}), **service}}))
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "titand.daemon", "serve", "--config", str(path)])
        try:
            yield Service(f"unix:{folder}/r/titand.sock", process.pid, started)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _toml(plain: Mapping[str, Any], prefix: str = "") -> str:
    values = [f"{key} = {json.dumps(value)}" for key, value in plain.items() if not isinstance(value, Mapping)]
    tables = [
        f"[{prefix}{key}]\n{_toml(value, f'{prefix}{key}.')}"
        for key, value in plain.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*values, *tables]) + "\n"


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})
