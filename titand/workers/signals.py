"""SIGTERM as something to wait on: a worker ends between two steps, never inside one."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType

from titand.runtime.waiting import readable


class Stop:
    """Set once the process is asked to end; wakes whoever waits with it."""

    def __init__(self) -> None:
        self.is_set = False
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor stops us in order

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True

    def wait(self, descriptors: Sequence[int], timeout_seconds: float | None) -> set[int]:
        """Return which descriptors can be read, early when the process is asked to end."""
        return readable([*descriptors, self._reading], timeout_seconds) - {self._reading}
