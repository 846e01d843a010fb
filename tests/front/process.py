"""The front as a real process over memories that outlive it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.front.house import SECONDS, House, answer, eventually
from titand.config_text import config_to_json
from titand.runtime.channels import channel_pair
from titand.runtime.descriptors import Descriptors, create_text

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}:{ROOT / 'clients' / 'python'}",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    "MALLOC_ARENA_MAX": "2",
}


class FrontProcess:
    """A running front, and the others' ends of its channels, the supervisor's first."""

    def __init__(self, process: subprocess.Popen[str], ends, scripts) -> None:
        self.process = process
        self.supervisor = ends[0]
        self._ends = ends
        self._answering = [
            threading.Thread(target=answer, args=(end, script), daemon=True)
            for end, script in zip(ends, scripts, strict=True)
            if script is not None
        ]
        for each in self._answering:
            each.start()

    def end(self) -> tuple[int, str]:
        """Wait for its end; return exit status and log."""
        _, log = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, log

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        for each in self._answering:
            each.join()
        for end in self._ends:
            end.close()


@contextmanager
def front_process(house: House, wait: bool = True, log: int | IO[str] = subprocess.PIPE) -> Iterator[FrontProcess]:
    """Start a front over a house's memories, as the supervisor does; the house's scripts answer it."""
    house.boards.clear("front")
    supervisor, for_supervisor = channel_pair()
    trainer, for_trainer = channel_pair()
    selector, for_selector = channel_pair()
    given = Descriptors(
        config=create_text(config_to_json(house.config)),
        boards=house.boards_descriptor,
        arena=house.arena_descriptor,
        filled=house.filled,
        supervisor=for_supervisor.fileno(),
        trainer=for_trainer.fileno(),
        selector=for_selector.fileno(),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "titand.front.server", "--fds", given.to_argument()],
        pass_fds=given.all(),
        env=ENVIRONMENT,
        stderr=log,
        text=True,
    )
    for_supervisor.close()
    for_trainer.close()
    for_selector.close()
    os.close(given.config)
    running = FrontProcess(process, (supervisor, trainer, selector), (house.supervisor, house.trainer, house.selector))
    try:
        if wait:
            eventually(lambda: house.boards.read("front") is not None)
        yield running
    finally:
        running.close()
