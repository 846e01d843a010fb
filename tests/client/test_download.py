"""A model file: whole, verified and under its name, or not there; hashlib and the server's own bytes are the oracle."""

from __future__ import annotations

import hashlib
import random

import grpc
import pytest

import titan
from titan.v1 import snapshot_service_pb2 as pb

DATA = random.Random(7).randbytes(3_000_000)
PIECE = 1 << 20


class Files:
    """The part of a server that hands files out, and may break off."""

    def __init__(self, main, admin, formats=("safetensors",), data=DATA):
        self.data = data
        self.sent = data
        self.offsets = []
        self.breaks_after = None
        self.formats = list(formats)
        main.answers["GetSnapshot"] = lambda request, context: self.snapshot()
        main.answers["DownloadSnapshot"] = self.download
        admin.answers["ExportModel"] = self.export

    def snapshot(self):
        found = pb.Snapshot(name="snapshots/r00000421", round_number=421)
        for name in self.formats:
            number = pb.ModelFormat.Value(f"MODEL_FORMAT_{name.upper()}")
            digest = hashlib.sha256(self.data).digest()
            found.files.add(format=number, size_bytes=len(self.data), sha256=digest)
        return found

    def export(self, request, context):
        self.formats.append(pb.ModelFormat.Name(request.format).removeprefix("MODEL_FORMAT_").lower())
        return pb.ExportModelResponse(snapshot=self.snapshot())

    def download(self, request, context):
        self.offsets.append(request.offset_bytes)
        assert request.name == "snapshots/r00000421"
        for count, begin in enumerate(range(request.offset_bytes, len(self.sent), PIECE), start=1):
            yield pb.DownloadSnapshotResponse(chunk=self.sent[begin : begin + PIECE])
            if count == self.breaks_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")


@pytest.fixture
def files(serve):
    main, admin = serve(), serve(name="admin.sock")
    found = Files(main, admin)
    found.address, found.admin = main.address, admin
    return found


def test_a_file_arrives_whole_with_its_facts(files, client_of, tmp_path):
    export = client_of(files.address).export_model(tmp_path / "new" / "model.safetensors")
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == DATA
    assert export.path == str(tmp_path / "new" / "model.safetensors")
    assert export.file == titan.ModelFile("safetensors", len(DATA), hashlib.sha256(DATA).hexdigest())
    assert export.snapshot.round_number == 421
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.safetensors"]
    assert not files.admin.calls, "safetensors is always ready: no administrator is needed"


def test_a_format_that_is_not_ready_is_made_first(files, client_of, tmp_path):
    client = client_of(files.address)
    for _ in range(2):
        assert client.export_model(tmp_path / "model.pt2", "421", "pt2").file.format == "pt2"
    assert len(files.admin.calls) == 1


def test_an_interrupted_download_goes_on_where_it_ended(files, client_of, tmp_path):
    path = tmp_path / "model"
    client = client_of(files.address)
    files.breaks_after = 1
    for _ in range(2):
        with pytest.raises(titan.Unreachable):
            client.export_model(path)
        assert not path.exists()
    files.breaks_after = None
    client.export_model(path)
    assert path.read_bytes() == DATA
    assert files.offsets == [0, PIECE, 2 * PIECE]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_left_of_another_file_is_not_continued(files, client_of, tmp_path):
    path = tmp_path / "model"
    client = client_of(files.address)
    files.breaks_after = 1
    with pytest.raises(titan.Unreachable):
        client.export_model(path)
    files.breaks_after, files.data, files.sent = None, DATA[::-1], DATA[::-1]
    client.export_model(path)
    assert path.read_bytes() == DATA[::-1]
    assert files.offsets == [0, 0]


def test_a_damaged_download_leaves_nothing_and_spares_what_was_there(files, client_of, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"the old one")
    files.sent = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with pytest.raises(titan.CorruptFile) as caught:
        client_of(files.address).export_model(path)
    assert caught.value.reason == "DOWNLOAD_CORRUPT"
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("excess", [-1, 1])
def test_a_download_of_the_wrong_length_is_not_taken(files, client_of, tmp_path, excess):
    files.sent = DATA[:excess] if excess < 0 else DATA + b"x"
    with pytest.raises(titan.TitanError) as caught:
        client_of(files.address).export_model(tmp_path / "model")
    assert caught.value.reason == ("DOWNLOAD_SHORT" if excess < 0 else "DOWNLOAD_CORRUPT")
    assert not (tmp_path / "model").exists()


def test_a_leftover_that_is_too_long_or_wrong_does_not_last(files, client_of, tmp_path):
    path = tmp_path / "model"
    partial = tmp_path / f"model.{hashlib.sha256(DATA).hexdigest()[:12]}.partial"
    client = client_of(files.address)
    partial.write_bytes(DATA + b"more")
    client.export_model(path)
    assert path.read_bytes() == DATA
    partial.write_bytes(b"wrong" + DATA[5:PIECE])
    with pytest.raises(titan.CorruptFile):
        client.export_model(path)
    assert not partial.exists()
    client.export_model(path)


def test_an_empty_file_is_a_file(files, client_of, tmp_path):
    files.data = files.sent = b""
    client_of(files.address).export_model(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b""
