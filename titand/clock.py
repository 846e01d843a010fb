"""Time as an argument: whatever waits, backs off or stamps takes a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the daemon needs of time. Tests bring their own."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; the same start for every process of this boot."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may jump."""


class SystemClock:
    """The clock of this machine."""

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """See `Clock`."""
        return time.time_ns()
