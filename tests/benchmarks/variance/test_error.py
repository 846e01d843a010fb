"""What is published as an error is the error."""

from __future__ import annotations

import itertools

import pytest
import torch

from benchmarks.variance.error import relative_error, squared_error, uniform_error
from benchmarks.variance.methods import METHODS, Estimator, scores_of
from benchmarks.variance.trace import Trace, Window

CLASSES = 3


def window(n, seed, spread=1.0):
    """Samples of a made-up model: residuals of a softmax, hidden values of any kind; the feature gives both away."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % CLASSES
    logits = 2 * torch.randn(n, CLASSES, generator=generator)
    residual = logits.softmax(1) - torch.nn.functional.one_hot(label, CLASSES)
    hidden = spread * torch.randn(n, 4, generator=generator) + 1
    return Window(label, logits, residual, hidden, torch.zeros(0, 0, dtype=torch.float64))


def trace(windows=6, n=24, before=0):
    return Trace([window(n, 1000 + i) for i in range(before)], [window(n, i) for i in range(windows)], CLASSES)


def materialised(window):
    return torch.einsum("nc,nd->ncd", window.residual.double(), window.hidden.double()).flatten(1)


def test_the_error_is_the_distance_between_gradients_that_are_written_out():
    one = window(8, 0)
    gradient = materialised(one)
    coefficient = torch.rand(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    expected = (coefficient @ gradient - gradient.mean(0)).square().sum(1).mean()

    assert squared_error(coefficient - 1 / 8, one.gradient.gram()) == pytest.approx(float(expected))


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_the_reference_is_the_mean_over_all_batches_there_are(batch_size):
    gradient = materialised(window(7, 2))
    batches = itertools.combinations(range(7), batch_size)
    errors = [(gradient[list(batch)].mean(0) - gradient.mean(0)).square().sum() for batch in batches]

    expected = torch.stack(errors).mean()

    assert uniform_error(gradient @ gradient.T, batch_size) == pytest.approx(float(expected), abs=1e-12)


def test_random_selection_has_the_error_of_random_selection():
    assert relative_error(METHODS["rs"], trace(), batch_size=5, draws=300).mean == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("name", ["rs", "stratified", "is", "cis", "two-stage", "predicted", "limit", "uniform"])
def test_a_method_without_bias_has_the_windows_mean_as_its_expectation(name):
    one = trace(windows=1, n=12, before=5)
    estimator = Estimator(METHODS[name], one, batch_size=4, capacity=8, seed=0)

    drawn = torch.stack([estimator.coefficients(one.at[0]) for _ in range(1500)])

    standard_error = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - 1 / 12).abs() < 4.5 * standard_error + 1e-9).all()


def test_a_filter_that_keeps_all_changes_nothing():
    whole = relative_error(METHODS["cis"], trace(), batch_size=5, draws=200)

    for name in ("two-stage", "limit"):
        behind = relative_error(METHODS[name], trace(), batch_size=5, capacity=24, draws=200)
        assert behind.mean == pytest.approx(whole.mean, rel=0.15)


def test_true_importance_is_a_better_filter_than_none_at_all():
    told, untold = (relative_error(METHODS[name], trace(n=60), 5, 10, 60).mean for name in ("limit", "two-stage"))

    assert told < untold


def test_a_predictor_learns_on_the_windows_before_the_stage():
    # The feature is the logits themselves: nothing is left to guess.
    learned, fresh = (relative_error(METHODS["predicted"], trace(n=60, before=b), 5, 15, 40).mean for b in (60, 0))

    assert learned < fresh


def test_draws_that_emphasise_are_charged_for_their_bias():
    plain, weighted = (relative_error(METHODS[name], trace(n=60), 5, 30, 60).mean for name in ("beta-0", "two-stage"))

    assert plain > weighted


def test_whole_model_errors_come_from_whole_model_gradients():
    recorded = [Window(w.label, w.feature, w.residual, w.hidden, w.gradient.gram() * 7) for w in trace().at]

    error = relative_error(METHODS["cis"], Trace([], recorded, CLASSES), batch_size=5)

    assert error.whole_mean == pytest.approx(error.mean)


def test_scores_are_those_of_the_samples():
    one = window(9, 5)
    row = torch.tensor([4, 1])

    scores = scores_of(one, row)

    probability = one.feature[row].softmax(1)
    torch.testing.assert_close(scores.probability, probability)
    torch.testing.assert_close(
        scores.loss, torch.nn.functional.cross_entropy(one.feature[row], one.label[row], reduction="none")
    )
