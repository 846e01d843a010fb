"""Rules for the exponent and the rate, on candidates whose right answer is known."""

from __future__ import annotations

import pytest
import torch

from benchmarks.paper import tasks
from benchmarks.paper.chosen import Chosen
from benchmarks.paper.rules import MOST, Anneal, Contradiction, RateByGain
from benchmarks.paper.run import arrivals, run
from benchmarks.paper.settings import Settings
from benchmarks.paper.simulator import Simulation
from titand.selection.candidates import CandidateSet
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.sampling import Draw

SETTINGS = Settings("digits", "titan", 0.05, seed=0, rounds=60)


def chosen(residual, hidden, label=None, ratio=None, weight=1.0):
    count, classes = residual.shape
    label = torch.zeros(count, dtype=torch.int64) if label is None else label
    candidates = CandidateSet(
        tuple(range(count)),
        label,
        torch.full((count,), weight, dtype=torch.float64),
        torch.bincount(label, minlength=classes) * int(weight),
    )
    probability = residual + torch.nn.functional.one_hot(label, classes)
    scores = Scores(LastLayerGradient(residual, hidden), torch.zeros(count), probability)
    nothing = torch.zeros(0, dtype=torch.int64)
    return Chosen(nothing, Draw(nothing, torch.zeros(0), ratio), candidates, scores)


def confident(wrong):
    """A hundred candidates of class 0 in a model of four; so many are taken for class 1."""
    residual = torch.zeros(100, 4)
    residual[:wrong] = torch.tensor([-0.97, 0.97, 0.0, 0.0])
    return chosen(residual, torch.ones(100, 1))


@pytest.mark.parametrize(("wrong", "beta"), [(0, 0.0), (5, 0.5), (20, 1.0)])
def test_the_exponent_follows_the_share_of_labels_that_the_model_contradicts(wrong, beta):
    rule = Contradiction(full=0.1)
    for _ in range(600):
        rule.after(confident(wrong))
    assert rule.value == pytest.approx(beta, abs=1e-3)


def test_weights_are_unbiased_until_something_is_known():
    assert Contradiction().value == 1.0


def test_annealing_ends_at_unbiased():
    rule = Anneal(rounds=4)
    values = []
    for _ in range(5):
        values.append(rule.value)
        rule.after(confident(0))
    assert values == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_where_gradients_cancel_the_rate_rises_by_the_gain():
    residual = torch.tensor([[1.0], [-1.0]]).repeat(50, 1)
    rule = RateByGain()
    rule.after(chosen(residual, torch.ones(100, 1), ratio=2.5))
    assert rule.value == pytest.approx(2.5)
    rule.after(chosen(residual, torch.ones(100, 1), ratio=1e9))
    assert rule.value <= MOST


def test_where_gradients_agree_the_rate_stays():
    rule = RateByGain()
    noise = 1e-3 * torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
    rule.after(chosen(torch.ones(100, 1) + noise, torch.ones(100, 1), ratio=100.0))
    assert rule.value == pytest.approx(1.0, abs=1e-3)


def test_a_rule_reaches_the_selector_and_the_learner():
    settings = SETTINGS.but(rule="anneal", rate_rule="adascale")
    simulation = Simulation(settings, tasks.load("digits").spec)
    for (raw, label), _ in zip(arrivals(tasks.load("digits").dataset.train, settings), range(10), strict=False):
        _, report = simulation.step(raw, label)
    assert simulation.choosing.beta == pytest.approx(10 / 2000)
    assert report.rate > settings.rate


def test_a_rule_changes_the_run_and_repeats_with_it():
    plain = run(SETTINGS)
    ruled = SETTINGS.but(rule="contradiction")
    assert run(ruled).accuracy == run(ruled).accuracy != plain.accuracy
