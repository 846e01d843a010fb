"""Lists on a command line, separated by commas."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return the type of an argument that names some of what is known; an error says what that is.

    >>> some_of(("rs", "cis", "titan"))("titan,rs")
    ['titan', 'rs']
    """

    def parsed(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; known: {', '.join(known)}")
        return names

    return parsed
