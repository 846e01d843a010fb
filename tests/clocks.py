"""A clock that stands until a test moves it."""

from __future__ import annotations


class HandClock:
    """Both times in one, in nanoseconds.

    Args:
        now: what it shows at first.
    """

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def monotonic_ns(self) -> int:
        """See `titand.clock.Clock`."""
        return self.now

    def wall_ns(self) -> int:
        """See `titand.clock.Clock`."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += round(seconds * 1e9)
