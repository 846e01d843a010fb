"""Which formats files come in, and how what was written in an older one becomes what is written today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Contents = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """A kind of file through the releases.

    A version is given a number when it is released, and from then on it can be read for ever: whoever changes the
    format adds the step from the one before, and a golden file of it under `tests/golden`.

    Attributes:
        version: that is written today.
        steps: by version, what makes its contents those of the next.

    Example:
        >>> steps = {1: lambda old: {"m": old["cm"] / 100}, 2: lambda old: {"metres": old["m"]}}
        >>> lengths = Format(version=3, steps=steps)
        >>> lengths.migrate({"cm": 250}, version=1), lengths.migrate({"metres": 7}, version=3)
        ({'metres': 2.5}, {'metres': 7})
    """

    version: int
    steps: Mapping[int, Callable[[Contents], Contents]] = field(default_factory=dict)

    def migrate(self, contents: Contents, version: int) -> Contents:
        """Return contents of an older version as today's; those of a later one, and of today's, as they are."""
        for step in range(version, self.version):
            contents = self.steps[step](contents)
        return contents


BUNDLE = Format(version=1)  # contents: the sections by name
MANIFEST = Format(version=1)  # contents: the plain object, digest aside
LOG = Format(version=1)  # contents: the header; see ring_log.py
