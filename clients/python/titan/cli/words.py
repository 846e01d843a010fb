"""Numbers in few characters. What is not known is "unknown", never 0."""

from __future__ import annotations

import math
from datetime import datetime

UNKNOWN = "unknown"


def count(number: float | None) -> str:
    """Return a count.

    >>> count(4120), count(96_240), count(3_200_000)
    ('4,120', '96.2k', '3.2M')
    """
    if number is None:
        return UNKNOWN
    if number < 10_000:
        return f"{number:,.0f}"
    for size, letter in ((1e3, "k"), (1e6, "M"), (1e9, "G")):
        if number < 999.95 * size:
            return f"{number / size:.1f}{letter}"
    return f"{number / 1e12:.1f}T"


def size(number: float | None) -> str:
    """Return a number of bytes.

    >>> size(512), size(12_800_000), size(None)
    ('512 B', '12.8 MB', 'unknown')
    """
    if number is None:
        return UNKNOWN
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g} {name}" if number < 999.5 * unit else f"{number / unit:,.0f} {name}"
    return f"{number:.0f} B"


def seconds(number: float | None) -> str:
    """Return a short duration.

    >>> seconds(0.0031), seconds(0.00004), seconds(2.25)
    ('3.1 ms', '40 us', '2.25 s')
    """
    if number is None:
        return UNKNOWN
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g} {name}"
    return f"{number * 1e6:.2g} us"


def span(number: float | None) -> str:
    """Return a long duration, its two largest parts.

    >>> span(3 * 86400 + 4 * 3600), span(245), span(7)
    ('3d 4h', '4m 5s', '7s')
    """
    if number is None:
        return UNKNOWN
    left = max(int(number), 0)
    parts = []
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if left >= unit:
            parts.append(f"{left // unit}{letter}")
            left %= unit
    return " ".join(parts[:2]) or "0s"


def since(then: datetime | None, now: datetime | None) -> str:
    """Return how long ago something was."""
    return span((now - then).total_seconds()) if then is not None and now is not None else UNKNOWN


def decimal(number: float | None, digits: int = 3) -> str:
    """Return a number with so many digits behind the point, a very large one in powers of ten.

    >>> decimal(0.9119), decimal(-78220611699586.2), decimal(None)
    ('0.912', '-7.82e+13', 'unknown')
    """
    if number is None or not math.isfinite(number):
        return UNKNOWN
    return f"{number:.{digits}f}" if abs(number) < 1e6 else f"{number:.3g}"


def ratio(number: float | None) -> str:
    """Return a share in per cent.

    >>> ratio(0.345)
    '34 %'
    """
    return UNKNOWN if number is None else f"{100 * number:.0f} %"
