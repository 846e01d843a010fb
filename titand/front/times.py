"""Nanoseconds and seconds as protobuf has them. Pure."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration


def set_time(field: Any, nanoseconds: int | None) -> None:
    """Set a timestamp; an unknown time stays absent."""
    if nanoseconds:
        field.FromNanoseconds(nanoseconds)


def duration(seconds: float | None) -> Duration | None:
    """Return a duration; None for an unknown one.

    >>> duration(1.5).nanos
    500000000
    """
    if seconds is None:
        return None
    value = Duration()
    value.FromNanoseconds(round(seconds * 1e9))
    return value
