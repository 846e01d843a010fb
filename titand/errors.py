"""The error family: each with a stable reason, a sentence, and what to do about it.

    TitanError
    |-- ConfigError          the configuration file or a TITAND_* variable is wrong
    |-- InvalidSample        a pushed sample does not fit the model's input
    |-- InvalidRequest       any other argument of a call is wrong
    |-- NotFound             no such sample or snapshot
    |-- WrongState           the call does not fit the present state (resume while active)
    |-- NotPermitted         the call belongs to the other socket
    |-- TakenOver            a newer connection of the same producer goes on
    |-- Overloaded           too much at once: streams, bytes, buffered samples
    |-- WorkerDown           the process that would answer is not there
    |-- CorruptFile          a file does not match its own checksum
    |-- StorageError         the disk refuses (full, read-only, broken)
    |-- ModelError           the model cannot be built or loaded
    `-- AlreadyRunning       another daemon holds the socket

Clients branch on `reason`, never on the text.
"""

from __future__ import annotations

from collections.abc import Mapping


class TitanError(Exception):
    """Something the caller can act on. Raised only through its children.

    Args:
        reason: UPPER_SNAKE_CASE, stable over releases.
        message: one sentence for people, naming the thing and the value.
        remedy: one sentence: what to do about it.
        metadata: facts for programs, as strings.
    """

    def __init__(self, reason: str, message: str, remedy: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.remedy = remedy
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigError(TitanError):
    """The configuration file or a TITAND_* variable is wrong."""


class InvalidSample(TitanError):
    """A pushed sample does not fit the model's input."""


class InvalidRequest(TitanError):
    """An argument of a call is wrong."""


class NotFound(TitanError):
    """No such sample or snapshot."""


class WrongState(TitanError):
    """The call does not fit the present state."""


class NotPermitted(TitanError):
    """The call belongs to the other socket."""


class TakenOver(TitanError):
    """A newer connection of the same producer goes on."""


class Overloaded(TitanError):
    """Too much at once."""


class WorkerDown(TitanError):
    """The process that would answer is not there."""


class CorruptFile(TitanError):
    """A file does not match its own checksum."""


class StorageError(TitanError):
    """The disk refuses."""


class ModelError(TitanError):
    """The model cannot be built or loaded."""


class AlreadyRunning(TitanError):
    """Another daemon holds the socket."""
