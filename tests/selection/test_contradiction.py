"""The exponent of the sample weights follows label noise that is known here, because it was put there."""

from __future__ import annotations

import pytest
import torch

from tests.selection.streams import make_window
from titand.selection.candidates import CandidateSet
from titand.selection.contradiction import Contradiction

CLASSES = 4


def window(probability_of_label, stage_weight=1.0):
    """Candidates of class 0, to which the model gives these probabilities."""
    given = torch.tensor(probability_of_label)
    rest = ((1 - given) / (CLASSES - 1)).unsqueeze(1).repeat(1, CLASSES - 1)
    weight = torch.full((len(given),), 1.0, dtype=torch.float64) * torch.tensor(stage_weight, dtype=torch.float64)
    arrivals = torch.tensor([round(float(weight.sum())), 0, 0, 0])
    label = torch.zeros(len(given), dtype=torch.int64)
    return CandidateSet(tuple(range(len(given))), label, weight, arrivals), torch.cat([given.unsqueeze(1), rest], 1)


def told(rule, wrong, rounds=800):
    """The rule after many windows of a hundred, so many of them wrongly labelled, in a model that knows."""
    for _ in range(rounds):
        rule.observe(*window([0.01] * wrong + [0.97] * (100 - wrong)))
    return rule


@pytest.mark.parametrize(("wrong", "exponent"), [(0, 0.0), (3, 0.3), (7, 0.7), (10, 1.0), (40, 1.0)])
def test_the_exponent_rises_with_label_noise_from_plain_to_unbiased(wrong, exponent):
    rule = told(Contradiction(least=0.0, full=0.1), wrong)
    assert rule.share == pytest.approx(wrong / 100, abs=1e-4)
    assert rule.exponent == pytest.approx(exponent, abs=1e-3)


def test_the_share_is_of_the_arrivals_that_the_candidates_stand_for():
    rule = Contradiction(0.0, 0.1)
    for _ in range(800):
        rule.observe(*window([0.01, 0.97], stage_weight=[1.0, 19.0]))
    assert rule.share == pytest.approx(1 / 20, abs=1e-4)


def test_less_likely_than_half_of_chance_contradicts_and_more_does_not():
    chance = 1 / CLASSES
    rule = Contradiction()
    rule.observe(*window([0.49 * chance, 0.51 * chance, chance, 1.0]))
    assert rule.share == pytest.approx((1 - 0.98) / 4)


def test_weights_are_unbiased_until_something_is_known_and_then_move_slowly():
    rule = Contradiction(least=0.25, full=0.1)
    assert (rule.exponent, rule.share) == (1.0, None)
    told(rule, wrong=0, rounds=1)
    assert 0.97 < rule.exponent < 1.0
    assert told(rule, wrong=0).exponent == 0.25


def test_a_fixed_exponent_stays_whatever_is_seen():
    assert told(Contradiction(least=0.5), wrong=50).exponent == 0.5
    assert Contradiction().exponent == 1.0


def test_scores_that_are_not_finite_say_nothing():
    rule = Contradiction(0.0, 0.1)
    rule.observe(*window([float("nan")] * 5))
    assert rule.share is None
    rule.observe(*window([float("nan"), 0.01]))
    assert rule.share == pytest.approx(0.98 * 0.1 + 0.02)


def test_what_was_learned_outlives_the_object():
    rule = told(Contradiction(0.0, 0.1), wrong=4, rounds=30)
    successor = Contradiction(0.0, 0.1)
    successor.restore(rule.state())
    assert (successor.share, successor.exponent) == (rule.share, rule.exponent)
    told(rule, 9, rounds=1), told(successor, 9, rounds=1)
    assert successor.share == rule.share
    successor.restore(Contradiction().state())
    assert successor.share is None


def test_an_untrained_model_is_contradicted_by_nobody():
    """Where every class is about as likely, no label is a surprise."""
    found = make_window(size=200, skill=0.0, seed=3)
    flat = torch.full_like(found.scores.probability, 1 / found.class_count)
    rule = Contradiction()
    rule.observe(found.candidates(), flat)
    assert rule.share == 0.0


@pytest.mark.parametrize(("least", "full"), [(-0.1, 0.1), (1.1, 0.1), (0.5, -0.1), (0.5, 1.1)])
def test_arguments_out_of_range_are_refused(least, full):
    with pytest.raises(ValueError, match="expected a number"):
        Contradiction(least, full)
