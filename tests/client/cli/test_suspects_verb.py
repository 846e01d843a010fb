"""titanctl samples suspect, against a server that suspects two."""

from __future__ import annotations

import json

import pytest

from titan.cli.main import main
from titan.v1 import sample_service_pb2, training_service_pb2

TRAINING = training_service_pb2.Training(model={"labels": ["cat", "dog", "owl"]})
WRONG = {
    "name": "samples/4711", "label": 2, "score": 9.5, "suggested_label": 0,
    "reasons": ["REASON_LABEL_DISAGREES"], "explanation": "the model says cat with 0.97",
}  # fmt: skip
TWIN = {
    "name": "samples/4712", "label": 1, "score": 4.2, "reasons": ["REASON_NEAR_DUPLICATE"],
    "explanation": "nearly the same as samples/17, labelled the same", "duplicate_of": "samples/17",
}  # fmt: skip


@pytest.fixture
def titanctl(serve, capsys):
    """Run a command line; returns exit code, stdout, stderr."""
    server = serve()

    def run(*words, suspects=(WRONG, TWIN)):
        answer = sample_service_pb2.ListSuspectSamplesResponse(suspects=suspects)
        server.answers["ListSuspectSamples"] = lambda request, context: answer
        code = main(["--address", server.address, "samples", *words])
        return (code, *capsys.readouterr())

    run.server = server
    server.answers["GetTraining"] = lambda request, context: TRAINING
    return run


def test_each_suspect_is_a_line_with_its_label_a_better_one_and_why(titanctl):
    assert titanctl("suspect") == (
        0,
        "samples/4711      owl, perhaps cat: the model says cat with 0.97\n"
        "samples/4712      dog: nearly the same as samples/17, labelled the same\n",
        "",
    )


def test_programs_get_them_as_data(titanctl):
    _, out, _ = titanctl("suspect", "--json", "--limit", "7")
    found = json.loads(out)["data"]
    assert [each["name"] for each in found] == ["samples/4711", "samples/4712"]
    assert [each["suggested_label"] for each in found] == [0, None]
    assert found[1]["reasons"] == ["near_duplicate"]
    assert [request.page_size for method, request in titanctl.server.calls if method == "ListSuspectSamples"] == [7]


def test_an_empty_list_says_so(titanctl):
    assert titanctl("suspect", suspects=()) == (0, "no sample looks wrong\n", "")


def test_the_verb_needs_an_action(titanctl):
    assert titanctl()[0] == 2
