"""titanctl label, against a server that knows some samples."""

from __future__ import annotations

import json

import pytest

from titan.cli.main import main
from titan.v1 import sample_service_pb2, training_service_pb2

TRAINING = training_service_pb2.Training(name="training", model={"labels": ["cat", "dog", "10"]})
WAITING = (7, 8, 9)


@pytest.fixture
def titanctl(serve, capsys):
    """Run a command line; returns exit code, stdout, stderr."""
    server = serve()

    def label(request, context):
        outcomes = ["OUTCOME_JOINED" if number in WAITING else "OUTCOME_UNKNOWN" for number in request.numbers]
        return sample_service_pb2.LabelSamplesResponse(outcomes=outcomes)

    def run(*words):
        code = main(["--address", server.address, "label", *words])
        return (code, *capsys.readouterr())

    run.server = server
    server.answers["GetTraining"] = lambda request, context: TRAINING
    server.answers["LabelSamples"] = label
    return run


def sent(server):
    """The labels that arrived: pairs of number and class id."""
    return [
        pair
        for method, request in server.calls
        if method == "LabelSamples"
        for pair in zip(request.numbers, request.labels, strict=True)
    ]


@pytest.mark.parametrize(("said", "class_id"), [("cat", 0), ("dog", 1), ("1", 1), ("10", 2)])
def test_a_label_is_a_class_by_name_or_else_by_id(titanctl, said, class_id):
    assert titanctl("7", said) == (0, "1 label: 1 joined\n", "")
    assert sent(titanctl.server) == [(7, class_id)]


def test_a_label_that_finds_no_sample_is_told_and_exits_1(titanctl):
    code, out, _ = titanctl("6", "cat")
    assert (code, out) == (1, "1 label: 1 unknown\n")
    code, out, _ = titanctl("6", "cat", "--json")
    found = json.loads(out)
    assert (code, found["status"]) == (1, "degraded")
    assert found["data"] == {"counts": {"unknown": 1}, "not_labelled": [{"number": 6, "outcome": "unknown"}]}


@pytest.mark.parametrize("heading", ["number,label\n", ""])
def test_a_file_labels_many(titanctl, tmp_path, heading):
    path = tmp_path / "labels.csv"
    path.write_text(f"{heading}8,dog\n9,cat\n\n10,1\n")
    code, out, _ = titanctl("--csv", str(path))
    assert (code, out) == (1, "3 labels: 2 joined, 1 unknown\n")
    assert sent(titanctl.server) == [(8, 1), (9, 0), (10, 1)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("7,cow\n", "labels.csv:1: 'cow' is no label of the model; it knows cat, dog, 10"),
        ("7,cat\n8\n", "labels.csv:2: expected a number and a label, found '8'"),
        ("7,cat\nx,cat\n", "labels.csv:2: expected a number and a label, found 'x,cat'"),
        ("7,nan\n", "labels.csv:1: 'nan' is no label"),
        ("\x00\n", "labels.csv"),
    ],
)
def test_a_file_that_makes_no_sense_labels_nothing(titanctl, tmp_path, content, told):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    code, _, err = titanctl("--csv", str(path))
    assert code == 2
    assert told in err
    assert sent(titanctl.server) == []


@pytest.mark.parametrize("words", [(), ("7",), ("7", "cat", "--csv", "x")])
def test_what_is_to_be_labelled_is_said_in_one_way(titanctl, words):
    code, _, err = titanctl(*words)
    assert code == 2
    assert "either a number and a label, or --csv" in err
