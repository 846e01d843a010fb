"""Counting against counting by hand, and Wilson's interval against what defines it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from titand.learning.evaluation import Z_95, Evaluation, evaluate, wilson_interval


class Oracle(nn.Module):
    """Takes the input for its logits."""

    def forward(self, x):
        return x


def test_every_batch_and_class_is_counted_once():
    logits = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]])
    label = torch.tensor([0, 1, 0, 0, 1])

    found = evaluate(Oracle(), [(logits[:2], label[:2]), (logits[2:], label[2:])], class_count=3)

    assert found.class_counts == (3, 2, 0)
    assert found.correct_counts == (1, 1, 0)
    assert found.accuracy == 2 / 5
    assert found.class_accuracy == (1 / 3, 1 / 2, None)
    right, wrong = math.log(math.e**2 + 2) - 2, math.log(math.e**2 + 2)
    assert found.loss == pytest.approx((2 * right + 3 * wrong) / 5)


def test_without_samples_nothing_is_known():
    found = evaluate(Oracle(), [], class_count=2)

    assert found == Evaluation((0, 0), (0, 0), 0.0)
    assert found.accuracy is None
    assert found.loss is None
    assert found.interval == (0.0, 1.0)


def test_a_model_in_training_is_evaluated_without_dropout_and_goes_on_training():
    model = nn.Sequential(nn.Dropout(0.5), Oracle()).train()

    found = evaluate(model, [(torch.eye(4).repeat(50, 1), torch.arange(4).repeat(50))], class_count=4)

    assert found.accuracy == 1.0
    assert model.training


# Known values: Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_has_the_published_values(successes, count, low, high):
    assert wilson_interval(successes, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_are_the_shares_that_the_score_test_just_accepts(counts):
    successes, count = counts
    share = successes / count

    for end in wilson_interval(successes, count):
        if 1e-9 < end < 1 - 1e-9:  # at 0 and n successes one end is the share itself
            assert abs(share - end) / math.sqrt(end * (1 - end) / count) == pytest.approx(Z_95, rel=1e-6)
        else:
            assert end == pytest.approx(share)
