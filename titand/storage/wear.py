"""How much was written to the medium today."""

from __future__ import annotations

from titand.clock import Clock

DAY_SECONDS = 86_400


class DailyBytes:
    """Bytes since midnight UTC, or since the start.

    Args:
        clock: says when a day ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._day = self._bytes = 0

    def add(self, written_bytes: int) -> None:
        """Count what was written now."""
        self._turn()
        self._bytes += written_bytes

    @property
    def today(self) -> int:
        """Bytes of this day."""
        self._turn()
        return self._bytes

    def _turn(self) -> None:
        day = self._clock.wall_ns() // (DAY_SECONDS * 1_000_000_000)
        if day != self._day:
            self._day, self._bytes = day, 0
