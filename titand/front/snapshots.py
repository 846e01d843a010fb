"""SnapshotService: hands out snapshots; the trainer makes them, the supervisor has them exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grpc

from titan.v1 import snapshot_service_pb2 as snapshots_pb
from titand.errors import InvalidRequest, NotFound
from titand.front.convert import spec_message
from titand.front.guard import gate_message
from titand.front.streams import Streams
from titand.front.times import set_time
from titand.front.training import require_note
from titand.runtime.channels import Asker
from titand.storage.files import refusals_of
from titand.storage.manifests import MODEL_FILE, Snapshot, encode_manifest, plain_of_snapshot
from titand.storage.snapshots import SnapshotStore

CHUNK_BYTES = 1 << 20
CREATE_SECONDS = 60.0  # a slow card takes ten for the largest model
EXPORT_SECONDS = 300.0  # torch is loaded and the model traced, on the slowest board
PAGE_SIZE = 50
MOST_PAGE_SIZE = 1000

_PREFIX = "snapshots/"
_FORMATS: Mapping[int, str] = {
    snapshots_pb.MODEL_FORMAT_UNSPECIFIED: "safetensors",
    snapshots_pb.MODEL_FORMAT_SAFETENSORS: "safetensors",
    snapshots_pb.MODEL_FORMAT_PT2: "pt2",
}
_FORMAT_NUMBERS: Mapping[str, snapshots_pb.ModelFormat] = {
    "safetensors": snapshots_pb.MODEL_FORMAT_SAFETENSORS,
    "pt2": snapshots_pb.MODEL_FORMAT_PT2,
}


class SnapshotService:
    """See protos/titan/v1/snapshot_service.proto.

    Args:
        store: where snapshots are.
        streams: counts downloads and exports.
        trainer: makes snapshots.
        supervisor: has them exported.
    """

    def __init__(self, store: SnapshotStore, streams: Streams, trainer: Asker, supervisor: Asker) -> None:
        self._store = store
        self._streams = streams
        self._trainer = trainer
        self._supervisor = supervisor

    def CreateSnapshot(
        self, request: snapshots_pb.CreateSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb.CreateSnapshotResponse:
        """Have the trainer make a snapshot."""
        require_note(request.note)
        with self._streams.long_call(context):
            answer = self._trainer.ask("snapshot", CREATE_SECONDS, note=request.note)
        return snapshots_pb.CreateSnapshotResponse(snapshot=snapshot_message(self._store.get(answer["name"])))

    def GetSnapshot(
        self, request: snapshots_pb.GetSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb.Snapshot:
        """Return one snapshot."""
        return snapshot_message(self._find(request.name))

    def ListSnapshots(
        self, request: snapshots_pb.ListSnapshotsRequest, context: grpc.ServicerContext
    ) -> snapshots_pb.ListSnapshotsResponse:
        """Return a page of snapshots, newest first."""
        if request.page_size < 0:
            raise InvalidRequest(
                "PAGE_SIZE_INVALID", f"A page cannot hold {request.page_size} snapshots.", "Ask for 1 to 1000, or 0."
            )
        page = self._store.page(min(request.page_size or PAGE_SIZE, MOST_PAGE_SIZE), request.page_token)
        return snapshots_pb.ListSnapshotsResponse(
            snapshots=[snapshot_message(each) for each in page.snapshots], next_page_token=page.next_page_token
        )

    def DeleteSnapshot(
        self, request: snapshots_pb.DeleteSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb.DeleteSnapshotResponse:
        """Delete one snapshot."""
        if request.name == _PREFIX + "latest":
            raise InvalidRequest(
                "NAME_INVALID", "What is the latest may change meanwhile.", "Name the snapshot to be deleted."
            )
        self._store.delete(_plain_name(request.name))
        return snapshots_pb.DeleteSnapshotResponse()

    def ExportModel(
        self, request: snapshots_pb.ExportModelRequest, context: grpc.ServicerContext
    ) -> snapshots_pb.ExportModelResponse:
        """Have the file of a format made, unless it is there."""
        format, snapshot = _format_of(request.format), self._find(request.name)
        if format not in _files_of(snapshot):
            with self._streams.long_call(context):
                self._supervisor.ask("export", EXPORT_SECONDS, name=snapshot.name, format=format)
            snapshot = self._store.get(snapshot.name)
        return snapshots_pb.ExportModelResponse(snapshot=snapshot_message(snapshot))

    def DownloadSnapshot(
        self, request: snapshots_pb.DownloadSnapshotRequest, context: grpc.ServicerContext
    ) -> Iterator[snapshots_pb.DownloadSnapshotResponse]:
        """Yield what is coming, then the rest of the file."""
        format, snapshot = _format_of(request.format), self._find(request.name)
        files = _files_of(snapshot)
        if format not in files:
            raise NotFound(
                "NOT_EXPORTED", f"Snapshot {snapshot.name} has no {format} file yet.", "Call ExportModel first."
            )
        name, file = files[format]
        with (
            self._streams.long_call(context) as leaving,
            refusals_of(self._store.folder / snapshot.name / name),
            self._store.open_for_read(snapshot.name, request.offset_bytes, name) as opened,
        ):
            yield snapshots_pb.DownloadSnapshotResponse(snapshot=snapshot_message(snapshot), file=file)
            while not leaving.is_set() and (chunk := opened.read(CHUNK_BYTES)):
                yield snapshots_pb.DownloadSnapshotResponse(chunk=chunk)
            self._streams.require_running()

    def _find(self, name: str) -> Snapshot:
        return find_snapshot(self._store, name)


def find_snapshot(store: SnapshotStore, name: str) -> Snapshot:
    """Return the snapshot of a name as it goes over the wire: "snapshots/r00000421", or latest, or best.

    Raises:
        InvalidRequest: NAME_INVALID.
        NotFound: SNAPSHOT_NOT_FOUND.
    """
    if name == _PREFIX + "latest":
        newest = store.page(1).snapshots
        if not newest:
            raise NotFound("SNAPSHOT_NOT_FOUND", "There is no snapshot yet.", "`titanctl snapshots create` takes one.")
        return newest[0]
    if name == _PREFIX + "best":
        best = store.best
        if not best:
            remedy = "The guard promotes the first when enough samples are held out; see `titanctl status`."
            raise NotFound("SNAPSHOT_NOT_FOUND", "No snapshot has been promoted yet.", remedy)
        return store.get(best)
    return store.get(_plain_name(name))


def snapshot_message(snapshot: Snapshot) -> snapshots_pb.Snapshot:
    """Return a snapshot as it goes over the wire."""
    message = snapshots_pb.Snapshot(
        name=_PREFIX + snapshot.name,
        note=snapshot.note,
        round_number=snapshot.round,
        files=[file for _, file in _files_of(snapshot).values()],
        architecture=snapshot.model.architecture,
        input_spec=spec_message(snapshot.model.input),
        labels=snapshot.model.labels,
        metrics=snapshot.metrics,
        parent=_PREFIX + snapshot.parent if snapshot.parent else "",
        titand_version=snapshot.titand_version,
        manifest_json=encode_manifest(plain_of_snapshot(snapshot)).decode(),
    )
    set_time(message.create_time, snapshot.create_time_ns)
    if snapshot.gate:
        message.gate.CopyFrom(gate_message(snapshot.gate))
    return message


def _files_of(snapshot: Snapshot) -> dict[str, tuple[str, snapshots_pb.ModelFile]]:
    """Return file name and description of each file that is ready, by format."""
    files = [("safetensors", MODEL_FILE, snapshot.size_bytes, snapshot.sha256)]
    files += [(each.format, each.file, each.size_bytes, each.sha256) for each in snapshot.exports]
    return {
        format: (
            name,
            snapshots_pb.ModelFile(format=_FORMAT_NUMBERS[format], size_bytes=size, sha256=bytes.fromhex(sha256)),
        )
        for format, name, size, sha256 in files
        if format in _FORMAT_NUMBERS
    }


def _format_of(number: int) -> str:
    try:
        return _FORMATS[number]
    except KeyError as error:
        raise InvalidRequest(
            "FORMAT_UNKNOWN", f"Model format {number} is not known.", f"Known are: {', '.join(_FORMAT_NUMBERS)}."
        ) from error


def _plain_name(name: str) -> str:
    if not name.startswith(_PREFIX):
        raise InvalidRequest(
            "NAME_INVALID",
            f"{name[:80]!r} does not name a snapshot.",
            'Snapshots are named "snapshots/r00000421"; the newest is "snapshots/latest", the best "snapshots/best".',
        )
    return name[len(_PREFIX) :]
