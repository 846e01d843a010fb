"""A trace is what the model would see."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.paper import tasks
from benchmarks.variance.trace import Conditions, record, recorded, whole_model_gram
from titand.learning import scoring
from titand.learning.models.zoo import build
from titand.selection.importance import LastLayerGradient

SMALL = Conditions("digits", seed=1, windows=2, warm_up=3, window=20)


def same(one, other):
    pairs = zip([*one.before, *one.at], [*other.before, *other.at], strict=True)
    return all(
        torch.equal(getattr(a, field.name), getattr(b, field.name)) for a, b in pairs for field in dataclasses.fields(a)
    )


def test_stages_on_the_way_leave_a_training_as_it_is():
    together = dict(record(SMALL, [0, 2, 6]))
    alone = dict(record(SMALL, [6]))

    assert same(together[6], alone[6])
    assert [len(together[stage].before) for stage in (0, 2, 6)] == [0, 2, 3]
    assert not torch.equal(together[0].at[0].residual, together[6].at[0].residual)


def test_a_trace_from_file_is_the_one_that_was_recorded(tmp_path):
    first = recorded(SMALL, [0, 4], tmp_path)
    again = recorded(SMALL, [4], tmp_path)

    assert same(first[4], again[4])
    assert same(again[4], dict(record(SMALL, [4]))[4])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("changed", "classes"),
    [({"classes": 3}, {0, 1, 2}), ({"imbalance": 100.0}, set(range(10))), ({"noise": 0.5}, set(range(10)))],
)
def test_conditions_change_the_labels_that_arrive(changed, classes):
    plain, special = (
        torch.cat(
            [window.label for window in dict(record(dataclasses.replace(SMALL, windows=30, **change), [0]))[0].at]
        )
        for change in ({}, changed)
    )

    assert set(special.tolist()) <= classes
    assert not torch.equal(plain, special)


def test_the_whole_models_gradients_are_those_of_backward():
    spec = tasks.load("digits").spec
    model = build(spec, 0)
    x = torch.randn(5, *spec.input.shape, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 3, 3, 9, 1])
    rows = []
    for i in range(5):
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(x[i : i + 1]), label[i : i + 1]).backward()
        rows.append(torch.cat([p.grad.flatten().double() for p in model.parameters()]))

    expected = torch.stack(rows) @ torch.stack(rows).T

    torch.testing.assert_close(whole_model_gram(model, x, label), expected, rtol=1e-4, atol=1e-6)


def test_with_all_but_the_head_frozen_the_whole_model_is_the_last_layer():
    spec = tasks.load("digits").spec
    model = build(spec, 0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("head."))
    x = torch.randn(5, *spec.input.shape, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 3, 3, 9, 1])
    forward = scoring.score(model, x)

    expected = LastLayerGradient(scoring.residual(forward.logits, label), forward.hidden).gram()

    torch.testing.assert_close(whole_model_gram(model, x, label), expected, rtol=1e-4, atol=1e-6)
