"""Suspicious samples, in words: nothing is said that the selector did not say."""

from __future__ import annotations

import dataclasses

import grpc
import pytest

from tests.front.house import House, config_in, info_of
from titan.v1.sample_service_pb2 import ListSuspectSamplesRequest, SuspectSample

# What a selector says of a sample; tests/workers/test_suspicion.py has it from a real one.
SUSPECT = {
    "number": 4711, "label": 2, "score": 9.5, "loss": 6.9078, "class_loss": 0.31, "likeliest": 0, "likelihood": 0.97,
    "class_confidence": 0.8, "distance": 3.25, "nearest": 0, "twin": 0, "twin_label": -1,
}  # fmt: skip
TWIN = {
    "number": 4712, "label": 1, "score": 8.0, "loss": 0.0, "class_loss": 0.0, "likeliest": -1, "likelihood": 0.0,
    "class_confidence": 1.0, "distance": 0.0, "nearest": -1, "twin": 17, "twin_label": 0,
}  # fmt: skip


@pytest.fixture
def listed(tmp_path):
    """Ask a front whose selector says these."""

    def ask(suspects, **request):
        house = House(config_in(tmp_path), selector={"suspects": lambda: {"suspects": suspects}})
        with house.front(), house.stubs() as stubs:
            return stubs.samples.ListSuspectSamples(ListSuspectSamplesRequest(**request)).suspects

    return ask


def test_a_suspect_says_what_is_suspicious_about_it(listed):
    (found,) = listed([SUSPECT])
    assert (found.name, found.label, found.suggested_label, found.score) == ("samples/4711", 2, 0, 9.5)
    assert found.explanation == (
        "the model says cat with 0.97, not owl (0.001); loss 6.9, its class has 0.3;"
        " 3.2 standard deviations from its class, nearer to cat"
    )
    assert list(found.reasons) == [
        SuspectSample.REASON_LABEL_DISAGREES,
        SuspectSample.REASON_HIGH_LOSS,
        SuspectSample.REASON_FAR_FROM_CLASS,
    ]
    assert found.duplicate_of == ""


def test_a_model_that_is_not_sure_does_not_disagree(listed):
    (found,) = listed([{**SUSPECT, "likelihood": 0.5}])
    assert "the model says" not in found.explanation
    assert SuspectSample.REASON_LABEL_DISAGREES not in found.reasons


def test_a_twin_is_named(listed):
    same, other = listed([{**TWIN, "twin_label": 1}, TWIN])
    assert other.explanation == "nearly the same as samples/17, which is labelled cat"
    assert same.explanation == "nearly the same as samples/17, labelled the same"
    assert other.duplicate_of == same.duplicate_of == "samples/17"
    assert list(other.reasons) == [SuspectSample.REASON_NEAR_DUPLICATE]
    assert not other.HasField("suggested_label")


def test_the_order_is_the_selectors_and_a_page_is_its_beginning(listed):
    several = [{**SUSPECT, "number": number} for number in (9, 3, 7)]
    assert [each.name for each in listed(several)] == ["samples/9", "samples/3", "samples/7"]
    assert [each.name for each in listed(several, page_size=2)] == ["samples/9", "samples/3"]
    with pytest.raises(grpc.RpcError) as caught:
        listed(several, page_size=-1)
    assert info_of(caught.value).reason == "PAGE_SIZE_INVALID"


def test_without_a_selector_there_is_no_answer(tmp_path):
    house = House(config_in(tmp_path))
    with house.front(), house.stubs() as stubs, pytest.raises(grpc.RpcError) as caught:
        stubs.samples.ListSuspectSamples(ListSuspectSamplesRequest())
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert info_of(caught.value).reason == "NO_ANSWER"


def test_the_selectors_words_are_all_known():
    torch = pytest.importorskip("torch")
    assert torch
    from titand.selection.suspects import Suspect

    assert {field.name for field in dataclasses.fields(Suspect)} == SUSPECT.keys() == TWIN.keys()
