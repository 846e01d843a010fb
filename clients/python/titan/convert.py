"""Turns what the daemon says into the records of `titan.records`.

Records mirror messages: same names, same fields. Only four things change on the way, so that one function serves all:
a Duration becomes seconds (`train_duration` -> `train_seconds`), a Timestamp a datetime in UTC, an enum value its name
without prefix in lower case, bytes a hex string. What the daemon left out is None.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import timezone
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from titan import records

Record = TypeVar("Record")


def record(kind: type[Record], message: Message) -> Record:
    """Build the record of type `kind` from the message of the same name."""
    return kind(**{name: _value(field, message) for name, field in _plan(kind, message.DESCRIPTOR)})  # type: ignore[arg-type]  # classes are hashable


@cache
def _plan(kind: Any, descriptor: Descriptor) -> tuple[tuple[str, FieldDescriptor], ...]:
    """Pair each field of a record with the field of the message that it comes from."""
    by_name = {_python_name(field): field for field in descriptor.fields}
    return tuple((field.name, by_name[field.name]) for field in dataclasses.fields(kind))


def _python_name(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Duration":
        return field.name.removesuffix("_duration") + "_seconds"
    return field.name


def _value(field: FieldDescriptor, message: Message) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if isinstance(value, (Message, str, bytes, int, float)):
        return _single(field, value)
    if isinstance(value, Mapping) and field.message_type is not None:
        inner = field.message_type.fields_by_name["value"]
        return {key: _single(inner, value[key]) for key in sorted(value)}
    return tuple(_single(field, each) for each in value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToDatetime(timezone.utc)
    if isinstance(value, Duration):
        return value.seconds + value.nanos / 1e9
    if isinstance(value, Message):
        return record(getattr(records, value.DESCRIPTOR.name), value)
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    return value.hex() if isinstance(value, bytes) else value


@cache
def enum_name(kind: EnumDescriptor, number: int) -> str:
    """Return an enum's value without its prefix, in lower case; "unknown_7" for one of a newer daemon."""
    value = kind.values_by_number.get(number)
    if value is None:
        return f"unknown_{number}"
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.name).upper() + "_"
    return value.name.removeprefix(prefix).lower()
