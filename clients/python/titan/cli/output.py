"""What titanctl prints: text for people, or JSON in one envelope for programs. Diagnostics go to stderr.

    {"schema_version": 1, "status": "ok" | "degraded", "data": ...}
    {"schema_version": 1, "status": "error", "error_code": ..., "message": ..., "hint": ...}

With jsonl, verbs that go on print such a line for each event and end with {"schema_version": 1, "status": "end"}.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

SCHEMA_VERSION = 1
OK, FAILED, MISUSED, UNREACHABLE = 0, 1, 2, 3


class Misused(Exception):
    """The command line asks for something that makes no sense."""


class Output:
    """Prints results in the format that was asked for.

    Args:
        format: "text", "json" or "jsonl".
    """

    def __init__(self, format: str = "text") -> None:
        self.format = format

    def result(self, data: Any, text: Callable[[], str], degraded: bool = False) -> int:
        """Print the one result of a verb, and return the exit code."""
        if self.format == "text":
            _write(text())
        else:
            self._envelope("degraded" if degraded else "ok", data=data)
        return FAILED if degraded else OK

    def event(self, data: Any, text: Callable[[], str]) -> None:
        """Print one of many."""
        if self.format == "text":
            _write(text())
        else:
            self._envelope("ok", data=data)

    def end(self) -> int:
        """Print that there will be no more, and return the exit code."""
        if self.format == "jsonl":
            self._envelope("end")
        return OK

    def note(self, message: str) -> None:
        """Tell people something that is no result."""
        print(f"titanctl: {message}", file=sys.stderr)

    def error(self, code: str, message: str, hint: str = "") -> None:
        """Print what went wrong."""
        if self.format == "text":
            print(f"titanctl: {message}" + (f"\n          {hint}" if hint else ""), file=sys.stderr)
        else:
            self._envelope("error", error_code=code, message=message, hint=hint)

    def _envelope(self, status: str, **content: Any) -> None:
        envelope = {"schema_version": SCHEMA_VERSION, "status": status, **plain(content)}
        _write(json.dumps(envelope, indent=2 if self.format == "json" else None, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Return records as what JSON knows: times as ISO 8601, what is not a finite number as null.

    >>> plain({"accuracy": float("nan"), "labels": ("cat", "dog")})
    {'accuracy': None, 'labels': ['cat', 'dog']}
    """
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, which says nothing of which file
        raise OSError(error.errno, error.strerror, "standard output") from None
