"""What can go wrong between an app and the daemon.

    TitanError
    |-- Unreachable      no daemon answers at the address; `reason` tells why
    |-- InvalidSample    the sample cannot be put on the wire at all
    |-- TimedOut         the time that the caller gave is over; nothing is lost
    `-- CorruptFile      a downloaded file is not what the daemon has

Everything else that the daemon refuses is a plain `TitanError` with the daemon's reason. Branch on `reason`, never on
the text.
"""

from __future__ import annotations

from collections.abc import Mapping


class TitanError(Exception):
    """A call that did not work.

    Args:
        code: name of the gRPC status code, "NOT_FOUND"; "" where no call was made.
        reason: UPPER_SNAKE_CASE, stable over releases.
        message: one sentence for people.
        remedy: what to do about it; may be empty.
        metadata: facts for programs.
    """

    def __init__(
        self, code: str, reason: str, message: str, remedy: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, reason, message, remedy)
        self.code = code
        self.reason = reason
        self.message = message
        self.remedy = remedy
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Unreachable(TitanError):
    """No daemon answers: SOCKET_MISSING, PERMISSION_DENIED, CONNECTION_REFUSED or NO_ANSWER."""


class InvalidSample(TitanError, ValueError):
    """The sample cannot be put on the wire: its type, its label or its size."""


class TimedOut(TitanError, TimeoutError):
    """The time that the caller gave is over. Samples that were taken are kept and go on being sent."""

    def given_up(self) -> TimedOut:
        """Return the same of one who closes: nothing is sent any more."""
        remedy = "They are given up. Flush first, or give closing more time."
        return TimedOut(self.code, self.reason, self.message, remedy, self.metadata)


class CorruptFile(TitanError):
    """A file is not what the daemon said that it sends."""
