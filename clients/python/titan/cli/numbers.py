"""Numbers on the command line."""

from __future__ import annotations

import argparse
import math

MOST = 2**31 - 1  # what a request holds, and more than anybody counts to


def some(text: str) -> int:
    """Return how many: 1 or more.

    >>> some("12")
    12
    """
    if not (text.isdecimal() and 1 <= int(text[:20]) <= MOST):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to {MOST:,}")
    return int(text)


def rate(text: str) -> float:
    """Return how many a second: above 0.

    >>> rate("0.5")
    0.5
    """
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return found
