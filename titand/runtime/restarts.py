"""When a process that ended is started again."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

STEADY_SECONDS = 60.0  # a process that lived this long has nothing to do with earlier failures
MENTION_SECONDS = 600.0
DELAYS_SECONDS = (0.0, 0.2, 1.0, 3.0, 10.0, 30.0)  # before the first, second, ... start in a row; then the last


@dataclass
class Restarts:
    """The history of one process's ends, and what follows from it.

    A daemon that is to be forgotten for a year never gives up: it tries again every half minute, and says so.

    Attributes:
        longest_seconds: no delay is longer.
    """

    count: int = 0  # ends so far
    last_exit: str = ""
    due_ns: int | None = None
    ended_ns: int | None = None
    started_ns: int = 0
    longest_seconds: float = DELAYS_SECONDS[-1]
    _failures: int = field(default=0)

    def started(self, now_ns: int) -> None:
        """The process was started."""
        self.started_ns = now_ns
        self.due_ns = None

    def ended(self, now_ns: int, how: str) -> None:
        """The process ended, and is to be started again when `due_ns` has come."""
        if now_ns - self.started_ns > STEADY_SECONDS * 1e9:
            self._failures = 0
        delay = min(DELAYS_SECONDS[min(self._failures, len(DELAYS_SECONDS) - 1)], self.longest_seconds)
        self._failures += 1
        self.count += 1
        self.last_exit = how
        self.ended_ns = now_ns
        self.due_ns = now_ns + int(delay * 1e9)

    def gave_up(self) -> None:
        """What fails the same way each time is not started again."""
        self.due_ns = None

    def is_due(self, now_ns: int) -> bool:
        """Whether it is to be started now."""
        return self.due_ns is not None and now_ns >= self.due_ns

    def ended_lately(self, now_ns: int) -> bool:
        """Whether it ended within the last ten minutes, and people should know."""
        return self.ended_ns is not None and now_ns - self.ended_ns < MENTION_SECONDS * 1e9

    def is_looping(self, now_ns: int) -> bool:
        """Whether it keeps ending soon after its start."""
        is_steady = self.due_ns is None and now_ns - self.started_ns > STEADY_SECONDS * 1e9
        return self._failures >= 4 and not is_steady


def describe_exit(code: int) -> str:
    """Return an exit code in words.

    >>> describe_exit(-9), describe_exit(0), describe_exit(78)
    ('killed by SIGKILL', 'ended by itself', 'exit status 78')
    """
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return "ended by itself" if code == 0 else f"exit status {code}"
