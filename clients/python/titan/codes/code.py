"""One code and its page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A stable name for something that is to be known, and what there is to know about it.

    Attributes:
        name: UPPER_SNAKE_CASE, stable over releases.
        severity: "info" (nothing is wrong), "warning" (works, worse than it should), "error" (something does not work).
        meaning: what it says.
        daemon: what titand does about it.
        remedy: what the owner can do.
    """

    name: str
    severity: str
    meaning: str
    daemon: str
    remedy: str
