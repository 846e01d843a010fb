"""Energy from samples of power, and from the counters of hardware. Pure: time comes in with the samples.

What was not measured is not filled in: each meter says how much of the time it has covered.
"""

from __future__ import annotations

NANOSECONDS = 1_000_000_000


class PowerMeter:
    """Adds up energy under samples of power, by trapezoids, and leaves out the gaps.

        E = sum over i of (P_{i-1} + P_i) / 2 * (t_i - t_{i-1}),   where t_i - t_{i-1} <= gap

    Args:
        start_ns: when the account begins; the time before the first sample counts as not covered.

    Example:
        5 W for a second, then silence for nine, then 7 W for a second:

        >>> meter = PowerMeter(0)
        >>> for second, watts in [(0, 5.0), (1, 5.0), (10, 7.0), (11, 7.0)]:
        ...     meter.add(second * 10**9, watts, gap_seconds=3)
        >>> meter.joules, meter.covered_seconds, meter.coverage_ratio(20 * 10**9)
        (12.0, 2.0, 0.1)
    """

    def __init__(self, start_ns: int) -> None:
        self.joules = 0.0
        self._start_ns = start_ns
        self._covered_ns = 0
        self._last: tuple[int, float] | None = None

    def add(self, time_ns: int, watts: float, gap_seconds: float) -> None:
        """Take one sample. A sample not later than the last one is a repetition, and ignored.

        Args:
            time_ns: when it was measured, on a monotonic clock.
            watts: the power then.
            gap_seconds: a longer time since the last sample was not measured.
        """
        if self._last is not None:
            last_ns, last_watts = self._last
            elapsed_ns = time_ns - last_ns
            if elapsed_ns <= 0:
                return
            if elapsed_ns <= gap_seconds * NANOSECONDS:
                self.joules += (last_watts + watts) / 2 * elapsed_ns / NANOSECONDS
                self._covered_ns += elapsed_ns
        self._last = (time_ns, watts)

    @property
    def covered_seconds(self) -> float:
        """The time that the joules were measured in."""
        return self._covered_ns / NANOSECONDS

    def coverage_ratio(self, now_ns: int) -> float:
        """Return the measured share of the time since the start, 0 to 1."""
        return _ratio(self._covered_ns, now_ns - self._start_ns)


class CounterMeter:
    """Adds up a hardware energy counter that starts anywhere and wraps around.

    Args:
        start_ns: when the account begins.
        range_microjoules: the counter goes from 0 to this value, then back to 0; 0 when that is not known.

    Example:
        >>> meter = CounterMeter(0, range_microjoules=9_999_999)
        >>> meter.add(0, 9_000_000)
        >>> meter.add(10**9, 2_000_000)
        >>> meter.joules, meter.watts
        (3.0, 3.0)
    """

    def __init__(self, start_ns: int, range_microjoules: int) -> None:
        self.watts: float | None = None
        self._microjoules = 0
        self._start_ns = start_ns
        self._range = range_microjoules
        self._covered_ns = 0
        self._last: tuple[int, int] | None = None

    def add(self, time_ns: int, microjoules: int) -> None:
        """Take the counter's value at a time; `watts` is then the mean power since the one before.

        A counter that falls has wrapped once. Where its range is not known, that interval is not covered.
        """
        if self._last is not None:
            last_ns, last = self._last
            if time_ns <= last_ns:
                return
            rise = microjoules - last
            if rise < 0 and self._range > 0:
                rise += self._range + 1
            if rise >= 0:
                self._microjoules += rise
                self._covered_ns += time_ns - last_ns
                self.watts = rise / 1e6 / ((time_ns - last_ns) / NANOSECONDS)
            else:
                self.watts = None
        self._last = (time_ns, microjoules)

    @property
    def joules(self) -> float:
        """Energy since the first value."""
        return self._microjoules / 1e6

    @property
    def covered_seconds(self) -> float:
        """The time that the joules were measured in."""
        return self._covered_ns / NANOSECONDS

    def coverage_ratio(self, now_ns: int) -> float:
        """Return the measured share of the time since the start, 0 to 1."""
        return _ratio(self._covered_ns, now_ns - self._start_ns)


def _ratio(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole > 0 else 0.0
