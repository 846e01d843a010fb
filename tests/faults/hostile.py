"""Messages that are well formed and mean harm: every field of every request takes the values that break programs."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

DEPTH = 4
NAMES = (
    "", "\0", "a\nb", "é" * 40, "x" * 65, "x" * 3000, "training", "latest", "snapshots/", "snapshots/latest",
    "snapshots/r00000001", "snapshots/r99999999", "snapshots/../../../etc/passwd", "snapshots/r00000001/../..",
    "snapshots//etc/passwd", "samples/1", "samples/0", "samples/-1", "samples/18446744073709551616", "samples/٣",
    "%s%n%s%n", "{0.__class__}", "\u202e\u0007", "; rm -rf /",
)  # fmt: skip
TEXTS = st.sampled_from(NAMES) | st.text(max_size=20)
BYTES = st.binary(max_size=64) | st.sampled_from([bytes(4), bytes(3000), b"\xff" * 5])


def integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    """Return whole numbers, mostly small ones and those at the ends of the range."""
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = [least, least + 1, most - 1, most, 0, 1, 2, 3]
    return st.sampled_from(ends) | st.integers(0, 8) | st.integers(least, most)


FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), -1e38])
VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: integers(32, True),
    FieldDescriptor.CPPTYPE_INT64: integers(64, True),
    FieldDescriptor.CPPTYPE_UINT32: integers(32, False),
    FieldDescriptor.CPPTYPE_UINT64: integers(64, False),
    FieldDescriptor.CPPTYPE_ENUM: integers(32, True),  # enums are open: any number travels
    FieldDescriptor.CPPTYPE_FLOAT: FLOATS,
    FieldDescriptor.CPPTYPE_DOUBLE: FLOATS,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}


def messages(kind: Descriptor, depth: int = DEPTH) -> st.SearchStrategy[Message]:
    """Return messages of a type, with any of its fields set to anything."""
    fields = [field for field in kind.fields if depth > 0 or field.message_type is None]
    choices = st.lists(st.sampled_from(fields), unique_by=lambda field: field.name) if fields else st.just([])
    return choices.flatmap(
        lambda chosen: st.fixed_dictionaries({field.name: _values(field, depth) for field in chosen})
    ).map(lambda values: _message(kind, values))


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        return st.dictionaries(_one(entry["key"], depth), _one(entry["value"], depth), max_size=3)
    one = _one(field, depth)
    return st.lists(one, max_size=4) if _is_repeated(field) else one


def _is_repeated(field: FieldDescriptor) -> bool:
    known: bool | None = getattr(field, "is_repeated", None)  # protobuf 5 has none
    return field.label == FieldDescriptor.LABEL_REPEATED if known is None else known


def _one(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, depth - 1)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return BYTES if field.type == FieldDescriptor.TYPE_BYTES else TEXTS
    return VALUES[field.cpp_type]


def _message(kind: Descriptor, values: dict[str, Any]) -> Message:
    message: Message = GetMessageClass(kind)(**values)
    return message
