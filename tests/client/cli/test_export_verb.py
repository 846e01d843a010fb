"""titanctl export-model: fetched, verified, loaded back. safetensors' own library and json are the oracles."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest

from titan.cli.main import main
from titan.cli.verify import load_back
from titan.errors import CorruptFile
from titan.v1 import snapshot_service_pb2 as pb

MANIFEST = {"round": 421, "scale": 0.5}


def file_of(tensors, header=None):
    """A safetensors file, written by hand: name -> (type, shape, bytes)."""
    entries, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, shape, payload) in tensors.items():
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(payload)]}
        data += payload
    text = json.dumps(entries if header is None else header).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = file_of({"w": ("F32", [2, 3], struct.pack("<6f", *range(6))), "n": ("I64", [], struct.pack("<q", 7))})


@pytest.fixture
def export(serve, capsys, tmp_path):
    """Run export-model against a server that has this file."""

    def run(data, *words, format="SAFETENSORS", may_change=True, ending="", server_name="titand.sock"):
        number = pb.ModelFormat.Value(f"MODEL_FORMAT_{format}")
        snapshot = pb.Snapshot(
            name="snapshots/r00000421", architecture="mlp", labels=["cat", "dog"], metrics={"accuracy": 0.91},
            files=[{"format": number, "size_bytes": len(data), "sha256": hashlib.sha256(data).digest()}],
            manifest_json=json.dumps(MANIFEST),
        )  # fmt: skip
        server = serve(name=server_name)
        server.answers["GetSnapshot"] = lambda request, context: snapshot
        server.answers["CreateSnapshot"] = lambda request, context: pb.CreateSnapshotResponse(snapshot=snapshot)
        server.answers["DownloadSnapshot"] = lambda request, context: iter([pb.DownloadSnapshotResponse(chunk=data)])
        admin = server.address if may_change else f"unix:{tmp_path}/no.sock"
        connection = ["--address", server.address, "--admin-address", admin]
        code = main([*connection, "export-model", str(tmp_path / f"model{ending}"), *words])
        return (code, *capsys.readouterr())

    return run


def test_the_model_is_put_beside_its_manifest(export, tmp_path):
    code, out, err = export(GOOD)
    assert (code, err) == (0, "")
    assert (tmp_path / "model").read_bytes() == GOOD
    assert json.loads((tmp_path / "model.json").read_text()) == MANIFEST
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.json"]
    for words in (hashlib.sha256(GOOD).hexdigest(), "2 tensors, 7 numbers, all finite", "cat, dog", "accuracy 0.91"):
        assert words in out


def test_who_may_only_read_gets_the_latest_snapshot_and_is_told(export, tmp_path):
    code, _, err = export(GOOD, may_change=False)

    assert code == 0
    assert (tmp_path / "model").read_bytes() == GOOD
    assert "latest snapshot, not a new one" in err


def test_a_snapshot_that_is_named_is_not_taken_anew(export):
    code, _, err = export(GOOD, "--snapshot", "r00000421", may_change=False)

    assert (code, err) == (0, "")


def test_format_is_the_files_and_json_is_the_outputs(export, tmp_path):
    code, out, _ = export(GOOD, "--format", "safetensors", "--json")
    found = json.loads(out)
    assert (code, found["status"]) == (0, "ok")
    assert found["data"]["path"] == str(tmp_path / "model")
    assert found["data"]["snapshot"]["labels"] == ["cat", "dog"]


@pytest.mark.parametrize(("ending", "format"), [("pt2", "PT2"), ("safetensors", "SAFETENSORS")])
def test_the_ending_of_the_path_names_the_format(export, monkeypatch, ending, format):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, _ = export(GOOD, ending=f".{ending}", format=format)
    assert code == 0
    assert out.splitlines()[0].endswith(ending)


def test_a_path_that_cannot_be_written_is_told_without_a_traceback(export, tmp_path):
    (tmp_path / "model.d").mkdir()
    code, out, err = export(GOOD, ending=".d")
    assert (code, out) == (2, "")
    assert "is a folder; name the file" in err
    (tmp_path / "model.x").write_text("no folder")
    code, out, err = export(GOOD, ending=".x/inside", server_name="again.sock")
    assert (code, out) == (1, "")
    assert err.startswith("titanctl: ")
    assert "model.x" in err


def test_a_model_that_does_not_load_back_exits_1(export):
    code, out, err = export(GOOD[:-1])
    assert (code, out) == (1, "")
    assert "do not cover the file" in err or "longer than itself" in err or "where" in err


def test_a_program_without_torch_says_who_loaded_it(export, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, _ = export(b"program", "--format", "pt2", format="PT2")
    assert code == 0
    assert "the daemon loaded it back" in out


def test_what_the_library_writes_is_sound(tmp_path):
    numpy = pytest.importorskip("numpy")
    write = pytest.importorskip("safetensors.numpy")
    generator = numpy.random.default_rng(0)
    tensors = {f"layer{n}": generator.normal(size=(n, 3)).astype("f4") for n in range(5)}
    tensors |= {"half": numpy.ones(3, "f2"), "count": numpy.array(3), "flags": numpy.ones(4, bool)}
    path = str(tmp_path / "a.safetensors")
    write.save_file(tensors, path, {"any": "thing"})
    assert load_back(path, "safetensors") == f"8 tensors, {30 + 3 + 1 + 4} numbers, all finite"


TWICE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
W = ("F32", [2], struct.pack("<2f", 1, 2))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "longer than itself"),
        (struct.pack("<Q", 10**9) + b"{}", "longer than itself"),
        (struct.pack("<Q", 3) + b"not", "makes no sense"),
        (struct.pack("<Q", 2) + b"[]", "makes no sense"),
        (GOOD + b"x", "do not cover"),
        (GOOD[:-1], "do not cover"),
        (file_of({"w": ("F32", [3], W[2])}), "not where"),
        (file_of({"w": ("F99", [2], W[2])}), "not where"),
        (file_of({"w": W}, {"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}), "not where"),
        (file_of({"w": W, "v": W}, {"w": TWICE, "v": TWICE}), "not where"),
        (file_of({"w": W}, {"w": {"dtype": "F32"}}), "makes no sense"),
        (file_of({"w": ("F32", [2], struct.pack("<2f", 1, float("nan")))}), "NaN"),
        (file_of({"w": ("F64", [2], struct.pack("<2d", 1, float("-inf")))}), "NaN"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, data, words):
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match=words):
        load_back(str(path), "safetensors")


def test_large_values_are_no_infinity(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(file_of({"w": ("F64", [2], struct.pack("<2d", 1.7e308, 1.7e308))}))
    assert "all finite" in load_back(str(path), "safetensors")


@pytest.mark.nightly  # torch takes twenty seconds for it
def test_an_exported_program_is_loaded_by_torch_in_a_process_of_its_own(tmp_path):
    torch = pytest.importorskip("torch")
    program = torch.export.export(torch.nn.Linear(2, 3), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "good.pt2")
    assert load_back(str(tmp_path / "good.pt2"), "pt2") == "2 tensors, all finite, by torch in a fresh process"
    (tmp_path / "bad.pt2").write_bytes(b"nonsense")
    with pytest.raises(CorruptFile, match="torch cannot load it"):
        load_back(str(tmp_path / "bad.pt2"), "pt2")
