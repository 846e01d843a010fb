"""Records against protobuf's own reading of the same messages."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import datetime

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from titan import records
from titan.cli.output import plain
from titan.convert import enum_name, record
from titan.v1 import sample_service_pb2, snapshot_service_pb2, telemetry_service_pb2, training_service_pb2

TOPS = [
    training_service_pb2.Training,
    snapshot_service_pb2.Snapshot,
    telemetry_service_pb2.Telemetry,
    sample_service_pb2.Sample,
    sample_service_pb2.AcceptedRun,
    sample_service_pb2.Refusal,
]
TIMES = ("google.protobuf.Timestamp", "google.protobuf.Duration")


def many(descriptor):
    """Names of the fields that hold several values."""
    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    return {field.name for field in proto.field if field.label == FieldDescriptorProto.LABEL_REPEATED}


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def reachable(descriptor):
    """This message and all inside it, but for times."""
    yield descriptor
    for field in descriptor.fields:
        inner = field.message_type
        if is_map(field):
            inner = inner.fields_by_name["value"].message_type
        if inner is not None and inner.full_name not in TIMES:
            yield from reachable(inner)


def filled(descriptor, numbers):
    """A message as JSON in which every field has a value of its own, and every list two."""

    def value(field):
        if field.enum_type is not None:
            return field.enum_type.values[-1].name
        if field.message_type is not None:
            at = next(numbers)
            if field.message_type.full_name == "google.protobuf.Duration":
                return f"{at}.25s"
            if field.message_type.full_name == "google.protobuf.Timestamp":
                return f"2026-01-01T00:00:{at % 60:02}Z"
            return filled(field.message_type, numbers)
        kinds = {field.TYPE_STRING: str, field.TYPE_BYTES: lambda at: "q83v", field.TYPE_BOOL: bool}
        return kinds.get(field.type, int)(next(numbers))

    def whole(field):
        if is_map(field):
            inner = field.message_type.fields_by_name["value"]
            return {f"b{next(numbers)}": value(inner), f"a{next(numbers)}": value(inner)}
        return [value(field), value(field)] if field.name in many(descriptor) else value(field)

    return {field.name: whole(field) for field in descriptor.fields}


def expected(descriptor, message):
    """The same from what protobuf reads, with the four changes that the records make."""

    def value(field, found):
        if field.enum_type is not None:
            return enum_name(field.enum_type, field.enum_type.values_by_name[found].number)
        if field.message_type is None:
            return (
                int(found) if field.type == field.TYPE_INT64 else "abcdef" if field.type == field.TYPE_BYTES else found
            )
        if field.message_type.full_name == "google.protobuf.Duration":
            return float(found.removesuffix("s"))
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return found.replace("Z", "+00:00")
        return expected(field.message_type, found)

    def whole(field, found):
        if is_map(field):
            return {key: value(field.message_type.fields_by_name["value"], each) for key, each in found.items()}
        return [value(field, each) for each in found] if isinstance(found, list) else value(field, found)

    def name(field):
        is_duration = field.message_type is not None and field.message_type.full_name == "google.protobuf.Duration"
        return field.name.removesuffix("_duration") + "_seconds" if is_duration else field.name

    return {name(field): whole(field, message[field.name]) for field in descriptor.fields}


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.DESCRIPTOR.name)
def test_a_record_says_all_that_the_message_says(top):
    message = json_format.ParseDict(filled(top.DESCRIPTOR, itertools.count(1)), top())
    found = record(getattr(records, top.DESCRIPTOR.name), message)
    read = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert plain(found) == expected(top.DESCRIPTOR, read)


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.DESCRIPTOR.name)
def test_every_field_of_every_message_has_its_place_in_a_record(top):
    for descriptor in reachable(top.DESCRIPTOR):
        kind = getattr(records, descriptor.name)
        assert len(dataclasses.fields(kind)) == len(descriptor.fields), descriptor.full_name


@pytest.mark.parametrize("top", TOPS, ids=lambda top: top.DESCRIPTOR.name)
def test_what_is_absent_is_none_or_empty(top):
    found = record(getattr(records, top.DESCRIPTOR.name), top())
    for field in top.DESCRIPTOR.fields:
        if field.has_presence:
            name = field.name.replace("_duration", "_seconds")
            assert getattr(found, name) is None


def test_times_are_in_utc():
    message = training_service_pb2.Round(number=1)
    message.complete_time.FromJsonString("2026-01-01T12:00:00+02:00")
    assert record(records.Round, message).complete_time == datetime.fromisoformat("2026-01-01T10:00:00+00:00")


def test_an_enum_value_of_a_newer_daemon_is_not_lost():
    message = training_service_pb2.Training(state=77)
    assert record(records.Training, message).state == "unknown_77"


def test_enum_names_carry_no_prefix():
    found = {
        enum_name(kind, value.number)
        for kind in (
            training_service_pb2.Training.State.DESCRIPTOR,
            sample_service_pb2.Sample.Fate.DESCRIPTOR,
            sample_service_pb2.Refusal.Kind.DESCRIPTOR,
            snapshot_service_pb2.ModelFormat.DESCRIPTOR,
            training_service_pb2.HealthItem.Severity.DESCRIPTOR,
        )
        for value in kind.values[1:]
    }
    assert {"active", "held_out", "shed", "pt2", "warning"} < found
    assert not any(name.startswith(("state", "fate", "kind", "model", "severity")) for name in found)


def test_a_ledger_balances_when_its_columns_add_up():
    ledger = records.SampleLedger(55, *range(1, 11), orphan_label_count=3)
    assert ledger.is_balanced
    for field in dataclasses.fields(ledger):
        other = dataclasses.replace(ledger, **{field.name: getattr(ledger, field.name) + 1})
        assert other.is_balanced == (field.name == "orphan_label_count"), field.name
