"""The exporter as the supervisor runs it: one answer in JSON, whatever happens."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import torch

from tests.storage.disk import mounted_tmpfs, names
from titand.learning.models.zoo import build
from titand.records import ModelSpec, TensorSpec
from titand.storage.snapshots import SnapshotStore
from titand.storage.tensors import RawTensor, encode_tensors
from titand.workers.exporter import main

SPEC = ModelSpec("mlp", TensorSpec("float32", (4,)), ("a", "b"), options={"hidden": [3]})


@pytest.fixture
def store(tmp_path):
    """A store with one snapshot."""
    store = SnapshotStore(tmp_path)
    tensors = {
        name: RawTensor("float32", tuple(tensor.shape), memoryview(tensor.numpy().tobytes()))
        for name, tensor in build(SPEC, seed=3).state_dict().items()
    }
    size = sum(len(tensor.data) for tensor in tensors.values())
    store.create(
        7, encode_tensors(tensors), model=SPEC, create_time_ns=0, metrics={}, parent="", note="", expected_bytes=size
    )
    return store


def run(store, capsys, name: str, format: str = "pt2") -> tuple[int, dict]:
    status = main(["--snapshots", str(store.folder), "--name", name, "--format", format])
    return status, json.loads(capsys.readouterr().out)


def test_an_unknown_format_is_refused_with_the_known_ones(store, capsys):
    status, said = run(store, capsys, store.page(1).snapshots[0].name, "onnx")
    assert status == 1
    assert (said["error"]["reason"], said["error"]["kind"]) == ("UNKNOWN_FORMAT", "InvalidRequest")
    assert "pt2" in said["error"]["remedy"]


def test_an_unknown_snapshot_is_not_found(store, capsys):
    status, said = run(store, capsys, "r00009999")
    assert (status, said["error"]["kind"]) == (1, "NotFound")


def test_a_damaged_snapshot_is_not_exported(store, capsys):
    name = store.page(1).snapshots[0].name
    path = store.folder / name / "model.safetensors"
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(contents)
    status, said = run(store, capsys, name)
    assert (status, said["error"]["kind"]) == (1, "CorruptFile")


@pytest.mark.nightly
def test_an_export_is_made_once_and_computes_what_the_model_computes(store, capsys):
    name = store.page(1).snapshots[0].name
    assert run(store, capsys, name) == (0, {"answer": {}})
    path = store.folder / name / "model.pt2"
    made = path.stat().st_mtime_ns
    assert run(store, capsys, name) == (0, {"answer": {}})
    assert path.stat().st_mtime_ns == made
    program = torch.export.load(path).module()
    x = torch.randn(5, 4)
    torch.testing.assert_close(program(x), build(SPEC, seed=3).eval()(x))
    assert [each.name for each in store.folder.iterdir() if each.name.startswith(".")] == []


@pytest.mark.nightly
def test_an_export_that_finds_no_room_is_refused_whole(store, capsys, tmp_path):
    (tmp_path / "disk").mkdir()
    with mounted_tmpfs(tmp_path / "disk", "size=24k") as disk:
        (snapshot,) = store.page(1).snapshots
        shutil.copytree(store.folder / snapshot.name, disk / snapshot.name)
        small = SnapshotStore(disk)
        before = names(disk / snapshot.name)
        status, said = run(small, capsys, snapshot.name)
        assert (status, said["error"]["reason"]) == (1, "DISK_FULL")
        assert (names(disk), names(disk / snapshot.name)) == ([snapshot.name], before)
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert run(small, capsys, snapshot.name) == (0, {"answer": {}})
