"""titanctl snapshots diff, and what a snapshot tells of its comparison with the best; numpy is the oracle."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from tests.client.cli.test_export_verb import file_of
from titan.cli.main import main
from titan.v1 import snapshot_service_pb2 as pb
from titan.v1 import training_service_pb2


def values(seed):
    generator = np.random.default_rng(seed)
    return {
        "w": generator.normal(size=(20, 3)).astype(np.float32),
        "half": generator.normal(size=5).astype(np.float16),
        "steps": np.array([seed], np.int64),
        "same": np.ones(4, np.float32),
    }


def contents(tensors):
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64"}
    return file_of({name: (kinds[x.dtype.name], list(x.shape), x.tobytes()) for name, x in tensors.items()})


def gate(correct):
    return {
        "verdict": "VERDICT_KEPT",
        "message": "As good as it was.",
        "held_out": {
            "class_counts": [10, 4],
            "correct_counts": correct,
            "confusions": [{"label": 0, "predicted": 1, "count": 10 - correct[0]}],
        },
    }


@pytest.fixture
def titanctl(serve, capsys):
    """Run it against a server with two snapshots, r00000001 and r00000002."""
    server = serve()
    files = {1: contents(values(1)), 2: contents({**values(2), "new": np.ones(2, np.float32)})}

    def snapshot(number):
        return pb.Snapshot(
            name=f"snapshots/r{number:08d}", labels=["cat", "dog"], architecture="mlp",
            metrics={"held_out_accuracy": 0.5 + 0.25 * number, "only" + str(number): 1.0},
            files=[{
                "format": pb.MODEL_FORMAT_SAFETENSORS, "size_bytes": len(files[number]),
                "sha256": hashlib.sha256(files[number]).digest(),
            }],
            gate=gate([4 + number, 4]),
        )  # fmt: skip

    def number_of(request):
        return 2 if request.name.endswith("latest") else int(request.name[-1])

    server.answers["GetSnapshot"] = lambda request, context: snapshot(number_of(request))
    server.answers["DownloadSnapshot"] = lambda request, context: iter(
        [pb.DownloadSnapshotResponse(chunk=files[number_of(request)])]
    )
    server.answers["RollbackTraining"] = lambda request, context: training_service_pb2.RollbackTrainingResponse(
        rollback={"round_number": 4121, "source": request.snapshot, "reason": "REQUESTED"}
    )

    def run(*words):
        code = main(["--address", server.address, "--admin-address", server.address, *words])
        return (code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("words", [("1", "2"), ("1",), ("r00000001", "latest")])
def test_figures_classes_and_tensors_are_compared(titanctl, words):
    code, out, _ = titanctl("snapshots", "diff", *words, "--json")
    assert code == 0
    data = json.loads(out)["data"]
    assert data["metrics"] == {"held_out_accuracy": [0.75, 1.0], "only1": [1.0, None], "only2": [None, 1.0]}
    assert data["class_accuracies"] == {"cat": [0.5, 0.6], "dog": [1.0, 1.0]}
    before, after = values(1), values(2)
    ratio = {
        name: np.linalg.norm(after[name].astype(float) - before[name]) / np.linalg.norm(before[name].astype(float))
        for name in before
    }
    assert data["tensors"] == {**{name: pytest.approx(ratio[name]) for name in before}, "new": None}
    flat = [np.concatenate([each[name].ravel().astype(float) for name in before]) for each in (before, after)]
    assert data["all_tensors"] == pytest.approx(np.linalg.norm(flat[1] - flat[0]) / np.linalg.norm(flat[0]))


def test_people_get_a_table(titanctl):
    _, out, _ = titanctl("snapshots", "diff", "1", "2")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["r00000001", "r00000002", "CHANGE"]
    assert ["held_out_accuracy", "0.75", "1", "+0.25"] in rows
    assert ["only2", "unknown", "1"] in rows
    assert ["class", "cat", "0.500", "0.600", "+10.0", "points"] in rows
    assert ["tensor", "same", "0", "%", "of", "its", "norm"] in rows
    assert ["tensor", "new", "unknown"] in rows


def test_a_snapshot_tells_its_verdict_and_what_it_confuses(titanctl):
    _, out, _ = titanctl("snapshots", "get", "1")
    assert "GATE       kept: As good as it was." in out.splitlines()
    assert "CONFUSED   5 of 10 cat as dog" in out.splitlines()


def test_a_rollback_says_from_which_round_on_and_goes_to_the_best_unless_told_otherwise(titanctl):
    assert titanctl("rollback")[:2] == (0, "round 4,121 begins from snapshots/best\n")
    assert titanctl("rollback", "421", "--note", "x")[1] == "round 4,121 begins from snapshots/r00000421\n"
