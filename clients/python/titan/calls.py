"""Each verb of the API said once, as data: which method, with which request, and how to read the answer.

`titan.client` and `titan.aio` carry calls out; neither knows what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from titan import records
from titan.convert import enum_name, record
from titan.labels import portions
from titan.v1 import sample_service_pb2, snapshot_service_pb2, telemetry_service_pb2, training_service_pb2

Answer = TypeVar("Answer")

ANSWER_SECONDS = 10.0
EXPORT_SECONDS = 600.0  # a torch.export of a large model on a small board takes minutes
PAGE_SIZE = 200
MOST_SUSPECTS = 2**31 - 1  # that a request can ask for


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A call that is still to be made.

    Attributes:
        method: "/titan.v1.TrainingService/GetTraining".
        request: the message to send.
        response: type of what comes back.
        read: turns it into what the caller gets.
        is_admin: whether it goes to the admin socket.
        timeout_seconds: None for a stream that goes on.
    """

    method: str
    request: Message
    response: type[Message]
    read: Callable[[Any], Answer]
    is_admin: bool = False
    timeout_seconds: float | None = ANSWER_SECONDS


# ---- samples and training ------------------------------------------------------------------------------------


def sample(number: int) -> Call[records.Sample]:
    """Get one sample's fate."""
    request = sample_service_pb2.GetSampleRequest(name=f"samples/{number}")
    return Call(_samples("GetSample"), request, sample_service_pb2.Sample, _reader(records.Sample))


def suspects(most: int) -> Call[list[records.SuspectSample]]:
    """List samples whose labels look wrong."""
    pb = sample_service_pb2

    def read(page: pb.ListSuspectSamplesResponse) -> list[records.SuspectSample]:
        return [record(records.SuspectSample, each) for each in page.suspects]

    request = pb.ListSuspectSamplesRequest(page_size=min(most, MOST_SUSPECTS))
    return Call(_samples("ListSuspectSamples"), request, pb.ListSuspectSamplesResponse, read)


def label(numbers: Iterable[Any], labels: Iterable[Any]) -> Iterator[Call[list[str]]]:
    """Label samples, some with each call."""
    pb = sample_service_pb2
    kind = pb.LabelSamplesResponse.Outcome.DESCRIPTOR

    def read(response: pb.LabelSamplesResponse) -> list[str]:
        return [enum_name(kind, outcome) for outcome in response.outcomes]

    for some, their_labels in portions(numbers, labels):
        request = pb.LabelSamplesRequest(numbers=some, labels=their_labels)
        yield Call(_samples("LabelSamples"), request, pb.LabelSamplesResponse, read)


def training() -> Call[records.Training]:
    """Get the training."""
    pb = training_service_pb2
    return Call(_training("GetTraining"), pb.GetTrainingRequest(), pb.Training, _reader(records.Training))


def watch_training() -> Call[records.Training]:
    """Stream the training."""
    pb = training_service_pb2
    request, read = pb.WatchTrainingRequest(), _reader(records.Training, "training")
    return Call(_training("WatchTraining"), request, pb.WatchTrainingResponse, read, timeout_seconds=None)


def pause(note: str) -> Call[records.Training]:
    """Pause the training."""
    pb = training_service_pb2
    request, read = pb.PauseTrainingRequest(note=note), _reader(records.Training, "training")
    return Call(_training("PauseTraining"), request, pb.PauseTrainingResponse, read, is_admin=True)


def resume() -> Call[records.Training]:
    """Go on with the training."""
    pb = training_service_pb2
    request, read = pb.ResumeTrainingRequest(), _reader(records.Training, "training")
    return Call(_training("ResumeTraining"), request, pb.ResumeTrainingResponse, read, is_admin=True)


def rollback(snapshot: str, note: str) -> Call[records.Rollback]:
    """Go back to a snapshot."""
    pb = training_service_pb2
    request = pb.RollbackTrainingRequest(snapshot=snapshot_name(snapshot), note=note)
    read = _reader(records.Rollback, "rollback")
    method = _training("RollbackTraining")
    return Call(method, request, pb.RollbackTrainingResponse, read, is_admin=True, timeout_seconds=60.0)


# ---- snapshots -----------------------------------------------------------------------------------------------


def snapshot(name: str) -> Call[records.Snapshot]:
    """Get one snapshot."""
    pb = snapshot_service_pb2
    request = pb.GetSnapshotRequest(name=snapshot_name(name))
    return Call(_snapshots("GetSnapshot"), request, pb.Snapshot, _reader(records.Snapshot))


def snapshots(page_token: str) -> Call[tuple[list[records.Snapshot], str]]:
    """Get a page of snapshots, and the token of the next one."""
    pb = snapshot_service_pb2
    request = pb.ListSnapshotsRequest(page_size=PAGE_SIZE, page_token=page_token)

    def read(page: pb.ListSnapshotsResponse) -> tuple[list[records.Snapshot], str]:
        return [record(records.Snapshot, each) for each in page.snapshots], page.next_page_token

    return Call(_snapshots("ListSnapshots"), request, pb.ListSnapshotsResponse, read)


def create_snapshot(note: str) -> Call[records.Snapshot]:
    """Take a snapshot."""
    pb = snapshot_service_pb2
    request, read = pb.CreateSnapshotRequest(note=note), _reader(records.Snapshot, "snapshot")
    method = _snapshots("CreateSnapshot")
    return Call(method, request, pb.CreateSnapshotResponse, read, is_admin=True, timeout_seconds=60.0)


def delete_snapshot(name: str) -> Call[None]:
    """Delete a snapshot."""
    pb = snapshot_service_pb2
    request = pb.DeleteSnapshotRequest(name=snapshot_name(name))
    return Call(_snapshots("DeleteSnapshot"), request, pb.DeleteSnapshotResponse, lambda _: None, is_admin=True)


def export_model(name: str, file_format: str) -> Call[records.Snapshot]:
    """Make the file of a format ready."""
    pb = snapshot_service_pb2
    request = pb.ExportModelRequest(name=snapshot_name(name), format=_model_format(file_format))
    read, method = _reader(records.Snapshot, "snapshot"), _snapshots("ExportModel")
    return Call(method, request, pb.ExportModelResponse, read, is_admin=True, timeout_seconds=EXPORT_SECONDS)


def download(name: str, file_format: str, offset_bytes: int) -> Call[bytes]:
    """Stream the bytes of a file."""
    pb = snapshot_service_pb2
    request = pb.DownloadSnapshotRequest(name=name, format=_model_format(file_format), offset_bytes=offset_bytes)

    def read(piece: pb.DownloadSnapshotResponse) -> bytes:
        return piece.chunk

    return Call(_snapshots("DownloadSnapshot"), request, pb.DownloadSnapshotResponse, read, timeout_seconds=None)


def snapshot_name(given: str) -> str:
    """Return the full name of a snapshot.

    >>> snapshot_name("latest"), snapshot_name("421"), snapshot_name("snapshots/r00000421")
    ('snapshots/latest', 'snapshots/r00000421', 'snapshots/r00000421')
    """
    name = given.removeprefix("snapshots/")
    return f"snapshots/r{int(name):08d}" if name.isdecimal() else f"snapshots/{name}"


# ---- telemetry -----------------------------------------------------------------------------------------------


def telemetry() -> Call[records.Telemetry]:
    """Get the newest reading."""
    pb = telemetry_service_pb2
    return Call(_telemetry("GetTelemetry"), pb.GetTelemetryRequest(), pb.Telemetry, _reader(records.Telemetry))


def watch_telemetry() -> Call[records.Telemetry]:
    """Stream readings."""
    pb = telemetry_service_pb2
    request, read = pb.WatchTelemetryRequest(), _reader(records.Telemetry, "telemetry")
    return Call(_telemetry("WatchTelemetry"), request, pb.WatchTelemetryResponse, read, timeout_seconds=None)


# ---- parts ---------------------------------------------------------------------------------------------------


def _samples(method: str) -> str:
    return f"/titan.v1.SampleService/{method}"


def _training(method: str) -> str:
    return f"/titan.v1.TrainingService/{method}"


def _snapshots(method: str) -> str:
    return f"/titan.v1.SnapshotService/{method}"


def _telemetry(method: str) -> str:
    return f"/titan.v1.TelemetryService/{method}"


def _reader(kind: type[Answer], inside: str = "") -> Callable[[Any], Answer]:
    """Return what makes a record of a response, or of one of its fields."""
    return lambda response: record(kind, getattr(response, inside) if inside else response)


def _model_format(name: str) -> str:
    return f"MODEL_FORMAT_{name.upper()}"
