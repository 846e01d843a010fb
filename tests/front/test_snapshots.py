"""Snapshots through a real server: listed, fetched in pieces, made and exported by others."""

import hashlib
import json
import math
import os

import grpc
import pytest

from tests.front.house import LABELS, SECONDS, SPEC, failure_of, info_of
from titan.v1 import snapshot_service_pb2 as pb
from titand.errors import StorageError
from titand.front.snapshots import CHUNK_BYTES
from titand.storage.snapshots import SnapshotStore

CONTENT = os.urandom(2 * CHUNK_BYTES + 77)
LATEST = "snapshots/latest"


@pytest.fixture
def here(house):
    """A house whose trainer and supervisor really make files."""
    trainer, supervisor = {}, {}
    made = house(trainer=trainer, supervisor=supervisor)
    made.store = SnapshotStore(made.folder / "snapshots")
    rounds = iter(range(1, 100))

    def snapshot(note):
        name = made.store.create(
            next(rounds),
            [CONTENT],
            model=made.config.model_spec,
            create_time_ns=10**18,
            metrics={"accuracy": 0.5},
            parent="r00000000",
            note=note,
        ).name
        return {"name": name}

    def export(name, format):
        made.store.add_export(name, format, f"model.{format}", [b"program"])
        return {}

    trainer["snapshot"], supervisor["export"] = snapshot, export
    return made


@pytest.fixture
def admin(here):
    with here.front(), here.stubs("admin.sock") as stubs:
        yield stubs.snapshots


def failed(stub, request):
    with pytest.raises(grpc.RpcError) as caught:
        stub(request, timeout=SECONDS)
    return caught.value.code(), info_of(caught.value).reason


def create(admin, note=""):
    return admin.CreateSnapshot(pb.CreateSnapshotRequest(note=note), timeout=SECONDS).snapshot


def download(admin, **request):
    answers = list(admin.DownloadSnapshot(pb.DownloadSnapshotRequest(**request), timeout=SECONDS))
    return answers[0], b"".join(answer.chunk for answer in answers)


def test_a_snapshot_is_made_by_the_trainer_and_described_in_full(admin):
    snapshot = create(admin, note="before lunch")
    assert (snapshot.name, snapshot.note, snapshot.round_number) == ("snapshots/r00000001", "before lunch", 1)
    assert snapshot.create_time.ToNanoseconds() == 10**18
    assert (snapshot.architecture, snapshot.input_spec, tuple(snapshot.labels)) == ("mlp", SPEC, LABELS)
    assert (dict(snapshot.metrics), snapshot.parent) == ({"accuracy": 0.5}, "snapshots/r00000000")
    (file,) = snapshot.files
    assert (file.format, file.size_bytes) == (pb.MODEL_FORMAT_SAFETENSORS, len(CONTENT))
    assert file.sha256 == hashlib.sha256(CONTENT).digest()
    assert json.loads(snapshot.manifest_json)["model"]["architecture"] == "mlp"


def test_the_manifest_is_handed_out_as_it_is_stored(here, admin):
    stored = here.store.folder / "r00000001" / "manifest.json"
    assert create(admin).manifest_json == stored.read_text()


def test_one_is_got_by_name_and_the_newest_without(admin):
    first, second = create(admin), create(admin)
    assert admin.GetSnapshot(pb.GetSnapshotRequest(name=first.name), timeout=SECONDS) == first
    assert admin.GetSnapshot(pb.GetSnapshotRequest(name=LATEST), timeout=SECONDS) == second


def test_the_best_is_got_by_that_name_once_there_is_one(here, admin):
    assert failed(admin.GetSnapshot, pb.GetSnapshotRequest(name="snapshots/best"))[1] == "SNAPSHOT_NOT_FOUND"
    first, _ = create(admin), create(admin)
    here.store.promote("r00000001")
    assert admin.GetSnapshot(pb.GetSnapshotRequest(name="snapshots/best"), timeout=SECONDS) == first
    assert download(admin, name="snapshots/best")[1] == CONTENT


def test_a_snapshot_tells_how_it_compared_with_the_best(here, admin):
    counts = {"class_counts": [3, 0, 1], "correct_counts": [2, 0, 1], "confusions": [[0, 2, 1]], "loss": None}
    gate = {
        "verdict": "kept",
        "message": "As it was.",
        "round": 7,
        "best": "r00000001",
        "held_out": counts
        | {"better": 2, "worse": 1, "difference": 0.25, "difference_low": -0.1, "difference_high": 0.5},
        "golden": None,
        "judge_time_ns": 11,
    }
    here.store.create(7, [b"x"], model=here.config.model_spec, create_time_ns=1, gate=gate)
    shown = admin.GetSnapshot(pb.GetSnapshotRequest(name="snapshots/r00000007"), timeout=SECONDS).gate
    assert (shown.verdict, shown.best, shown.round_number) == (shown.VERDICT_KEPT, "snapshots/r00000001", 7)
    held_out = shown.held_out
    assert (held_out.difference, held_out.difference_low, held_out.difference_high) == (0.25, -0.1, 0.5)
    assert [(each.label, each.predicted, each.count) for each in held_out.confusions] == [(0, 2, 1)]
    assert (list(held_out.class_counts), held_out.better_count, held_out.worse_count) == ([3, 0, 1], 2, 1)
    assert math.isnan(held_out.loss)
    assert not shown.HasField("golden")


def test_pages_come_newest_first_and_together_hold_everything(admin):
    names = [create(admin).name for _ in range(5)]
    seen, token = [], ""
    while not seen or token:
        page = admin.ListSnapshots(pb.ListSnapshotsRequest(page_size=2, page_token=token), timeout=SECONDS)
        assert len(page.snapshots) <= 2
        seen += [each.name for each in page.snapshots]
        token = page.next_page_token
    assert seen == names[::-1]
    assert len(admin.ListSnapshots(pb.ListSnapshotsRequest(), timeout=SECONDS).snapshots) == 5


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, len(CONTENT) - 1, len(CONTENT)])
def test_a_download_goes_on_from_any_offset(admin, offset):
    snapshot = create(admin)
    first, content = download(admin, name=LATEST, offset_bytes=offset)
    assert (first.snapshot, first.file, first.chunk) == (snapshot, snapshot.files[0], b"")
    assert content == CONTENT[offset:]


def test_no_chunk_is_larger_than_a_megabyte(admin):
    create(admin)
    answers = admin.DownloadSnapshot(pb.DownloadSnapshotRequest(name=LATEST), timeout=SECONDS)
    assert max(len(answer.chunk) for answer in answers) == CHUNK_BYTES


def test_a_reader_keeps_what_it_reads_although_it_is_deleted(admin):
    name = create(admin).name
    answers = admin.DownloadSnapshot(pb.DownloadSnapshotRequest(name=name), timeout=SECONDS)
    next(answers)
    admin.DeleteSnapshot(pb.DeleteSnapshotRequest(name=name), timeout=SECONDS)
    assert b"".join(answer.chunk for answer in answers) == CONTENT
    assert failed(admin.GetSnapshot, pb.GetSnapshotRequest(name=name))[1] == "SNAPSHOT_NOT_FOUND"


def test_an_export_is_made_once_and_downloaded_like_the_rest(here, admin):
    create(admin)
    wanted = {"name": LATEST, "format": pb.MODEL_FORMAT_PT2}
    error = failure_of(admin.DownloadSnapshot(pb.DownloadSnapshotRequest(**wanted), timeout=SECONDS))
    assert (error.code(), info_of(error).reason) == (grpc.StatusCode.NOT_FOUND, "NOT_EXPORTED")
    for _ in range(2):
        snapshot = admin.ExportModel(pb.ExportModelRequest(**wanted), timeout=SECONDS).snapshot
        assert [file.format for file in snapshot.files] == [pb.MODEL_FORMAT_SAFETENSORS, pb.MODEL_FORMAT_PT2]
        here.supervisor.pop("export", None)  # the second time nobody needs to be asked
    first, content = download(admin, **wanted)
    assert (content, first.file.size_bytes) == (b"program", 7)


def test_safetensors_need_no_export(here, admin):
    create(admin)
    here.supervisor.clear()
    request = pb.ExportModelRequest(name=LATEST, format=pb.MODEL_FORMAT_SAFETENSORS)
    assert len(admin.ExportModel(request, timeout=SECONDS).snapshot.files) == 1


def test_the_trainers_own_error_reaches_the_client(here, admin):
    def full(note):
        raise StorageError("DISK_FULL", "No space left.", "Free some.", {"path": "/x"})

    here.trainer["snapshot"] = full
    with pytest.raises(grpc.RpcError) as caught:
        create(admin)
    info = info_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (info.reason, dict(info.metadata)) == ("DISK_FULL", {"path": "/x", "remedy": "Free some."})


def test_without_a_trainer_creating_is_unavailable_and_reading_goes_on(house):
    here = house()
    with here.front(), here.stubs("admin.sock") as stubs:
        admin = stubs.snapshots
        assert failed(admin.CreateSnapshot, pb.CreateSnapshotRequest()) == (grpc.StatusCode.UNAVAILABLE, "NO_ANSWER")
        assert not admin.ListSnapshots(pb.ListSnapshotsRequest(), timeout=SECONDS).snapshots


@pytest.mark.parametrize(
    ("verb", "request_", "reason"),
    [
        ("GetSnapshot", pb.GetSnapshotRequest(name=LATEST), "SNAPSHOT_NOT_FOUND"),
        ("GetSnapshot", pb.GetSnapshotRequest(name="snapshots/r00000009"), "SNAPSHOT_NOT_FOUND"),
        ("GetSnapshot", pb.GetSnapshotRequest(name="snapshots/../../etc/passwd"), "SNAPSHOT_NOT_FOUND"),
        ("GetSnapshot", pb.GetSnapshotRequest(name="r00000001"), "NAME_INVALID"),
        ("ListSnapshots", pb.ListSnapshotsRequest(page_size=-1), "PAGE_SIZE_INVALID"),
        ("ListSnapshots", pb.ListSnapshotsRequest(page_token="x"), "PAGE_TOKEN_INVALID"),
        ("DeleteSnapshot", pb.DeleteSnapshotRequest(name=LATEST), "NAME_INVALID"),
        ("DeleteSnapshot", pb.DeleteSnapshotRequest(name="snapshots/r00000009"), "SNAPSHOT_NOT_FOUND"),
        ("ExportModel", pb.ExportModelRequest(name=LATEST, format=9), "FORMAT_UNKNOWN"),
        ("CreateSnapshot", pb.CreateSnapshotRequest(note="x" * 257), "NOTE_TOO_LONG"),
        ("CreateSnapshot", pb.CreateSnapshotRequest(note="\x1b[2J"), "NOTE_INVALID"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(admin, verb, request_, reason):
    code, found = failed(getattr(admin, verb), request_)
    assert found == reason
    assert code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("offset", [-1, len(CONTENT) + 1])
def test_an_offset_outside_the_file_is_refused(admin, offset):
    create(admin)
    error = failure_of(
        admin.DownloadSnapshot(pb.DownloadSnapshotRequest(name=LATEST, offset_bytes=offset), timeout=SECONDS)
    )
    assert info_of(error).reason == "OFFSET_OUT_OF_RANGE"


def test_a_damaged_file_is_never_handed_out(here, admin):
    create(admin)
    path = here.store.folder / "r00000001" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    error = failure_of(admin.DownloadSnapshot(pb.DownloadSnapshotRequest(name=LATEST), timeout=SECONDS))
    assert (error.code(), info_of(error).reason) == (grpc.StatusCode.DATA_LOSS, "SNAPSHOT_CORRUPT")
