"""One line per event, on standard error, with the journal's priority in front when the journal is listening."""

from __future__ import annotations

import os
from collections.abc import Mapping

_STANDARD_ERROR = 2
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3}


class Log:
    """Writes events as `name: event key=value ...`.

    Args:
        name: of the process.
        level: least severe events that are written.
        environment: tells whether standard error goes to the journal.
    """

    def __init__(self, name: str, level: str, environment: Mapping[str, str] = os.environ) -> None:
        self.level = level
        self._name = name
        self._to_journal = "JOURNAL_STREAM" in environment

    def debug(self, event: str, **facts: object) -> None:
        """Write what only a developer wants to know."""
        self._write("debug", event, facts)

    def info(self, event: str, **facts: object) -> None:
        """Write what happens in normal operation."""
        self._write("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Write what works, but worse than it should."""
        self._write("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        """Write what does not work."""
        self._write("error", event, facts)

    def _write(self, level: str, event: str, facts: Mapping[str, object]) -> None:
        if _PRIORITY[level] > _PRIORITY[self.level]:
            return
        prefix = f"<{_PRIORITY[level]}>" if self._to_journal else ""
        text = "".join(f" {key}={_quoted(value)}" for key, value in facts.items())
        try:
            # One write, so that lines of several processes never mix. sys.stderr would keep what it cannot write.
            os.write(_STANDARD_ERROR, f"{prefix}{self._name}: {event}{text}\n".encode(errors="replace"))
        except OSError:
            pass  # a full disk under the log, or nobody reads it any more: no reason to lose samples


def _quoted(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = text.replace("\n", "\\n")
    return f'"{text}"' if " " in text or not text else text
