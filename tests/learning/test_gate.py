"""The gate: its interval and its evidence against every possible outcome, its verdicts at the rates that they state."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.learning.gate import LEAST_SAMPLES, Pairs, Verdict, judge

MARGIN = 0.05


def outcomes(n: int, p_better: float, p_worse: float) -> Iterator[tuple[Pairs, float]]:
    """All that may come of n samples, each with its probability."""
    p_neither = 1 - p_better - p_worse
    for b in range(n + 1):
        for c in range(n + 1 - b):
            ways = math.comb(n, b) * math.comb(n - b, c)
            yield Pairs(n, b, c), ways * p_better**b * p_worse**c * p_neither ** (n - b - c)


def test_pairs_are_counted_where_the_two_differ():
    pairs = Pairs.of([True] * 5 + [False] * 3, [True, True, False, False, False, True, False, False])
    assert pairs == Pairs(8, 3, 1)
    assert pairs.difference == 2 / 8


pairs_of_few = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 60)).map(
    lambda drawn: Pairs(sum(drawn), drawn[0], drawn[1])
)


@given(pairs_of_few, st.integers(-900, 900).map(lambda each: each / 1000))
def test_the_score_has_the_variance_of_the_likeliest_case_in_which_the_difference_is_true(pairs, difference):
    """The oracle maximises the likelihood over a fine grid of shares instead of solving for it."""
    n, b, c = pairs.count, pairs.better, pairs.worse
    q = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]  # share of c; that of b is q + D
    log_likelihood = b * np.log(q + difference) + c * np.log(q) + (n - b - c) * np.log1p(-2 * q - difference)
    likeliest = q[log_likelihood.argmax()]
    variance = n * (2 * likeliest + difference - difference**2)
    expected = (b - c - n * difference) / math.sqrt(variance)
    assert pairs.score(difference) == pytest.approx(expected, rel=0.02, abs=0.02)


@given(pairs_of_few)
def test_the_interval_holds_what_the_score_does_not_refuse(pairs):
    low, high = pairs.interval()
    assert -1 <= low <= pairs.difference <= high <= 1
    for inside in np.linspace(low, high, 7)[1:-1]:
        assert abs(pairs.score(float(inside))) <= 1.97
    for outside in (low - 0.01, high + 0.01):
        assert not -1 < outside < 1 or abs(pairs.score(outside)) > 1.94


@pytest.mark.parametrize(("p_better", "p_worse"), [(0.02, 0.02), (0.1, 0.1), (0.05, 0.1), (0.3, 0.1)])
def test_the_interval_covers_the_truth_in_95_of_100_cases(p_better, p_worse):
    truth = p_better - p_worse
    covered = 0.0
    for pairs, probability in outcomes(60, p_better, p_worse):
        if probability > 1e-9:
            low, high = pairs.interval()
            covered += probability * (low <= truth <= high)
    assert covered == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("p_better", [0.0, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("p_more", [0.0, 0.03, 0.05])
def test_who_bets_against_a_model_within_the_margin_gains_nothing_on_average(p_better, p_more):
    wealth = sum(
        probability * math.exp(pairs.log_evidence_of_loss(MARGIN))
        for pairs, probability in outcomes(60, p_better, p_better + p_more)
    )
    assert wealth <= 1 + 1e-9


def test_who_bets_against_a_worse_model_gets_rich():
    wealth = sum(
        probability * math.exp(pairs.log_evidence_of_loss(MARGIN))
        for pairs, probability in outcomes(60, 0.1, 0.1 + MARGIN + 0.01)
    )
    assert wealth > 1


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.0001])
def test_a_model_within_the_margin_is_called_worse_no_more_often_than_stated(rate):
    for p_better in (0.005, 0.05, 0.2):
        alarmed = sum(
            probability
            for pairs, probability in outcomes(100, p_better, p_better + MARGIN)
            if judge([pairs], MARGIN, rate) is Verdict.FAILED
        )
        assert alarmed <= rate


@pytest.mark.parametrize("samples_change", [0.0, 0.1, 1.0])
def test_many_looks_have_no_more_false_alarms_than_stated(samples_change):
    """Each look has another model, worse by just the margin; the samples stay, change a little, or are all new."""
    generator = np.random.default_rng(0)
    runs, looks, n, rate = 60, 100, 100, 0.05
    alarms = []
    for _ in range(runs):
        best = generator.random(n) < 0.8
        alarms.append(0)
        for _ in range(looks):
            new = generator.random(n) < samples_change
            best[new] = generator.random(new.sum()) < 0.8
            judged = np.where(best, generator.random(n) < 0.9, generator.random(n) < 0.15)
            alarms[-1] += judge([Pairs.of(judged.tolist(), best.tolist())], MARGIN, rate) is Verdict.FAILED
    assert np.mean(alarms) <= rate * looks + 3 * np.std(alarms) / math.sqrt(runs)


def test_a_model_that_is_worse_by_the_margin_is_rarely_promoted():
    for p_better in (0.01, 0.1, 0.3):
        promoted = sum(
            probability
            for pairs, probability in outcomes(100, p_better, p_better + MARGIN)
            if judge([pairs], MARGIN, 0.01) is Verdict.PROMOTED
        )
        assert promoted <= 0.05


@pytest.mark.parametrize(("n", "loss", "chance"), [(100, 0.4, 0.85), (200, 0.3, 0.95), (200, 0.4, 0.999)])
def test_a_model_that_lost_a_third_is_found(n, loss, chance):
    found = sum(
        probability
        for pairs, probability in outcomes(n, 0.03, 0.03 + loss)
        if probability > 1e-9 and judge([pairs], MARGIN, 1e-4) is Verdict.FAILED
    )
    assert found > chance


@pytest.mark.parametrize(
    ("comparisons", "verdict"),
    [
        ([Pairs(LEAST_SAMPLES - 1, 0, 29)], Verdict.UNJUDGED),
        ([Pairs(200, 10, 10)], Verdict.PROMOTED),
        ([Pairs(200, 30, 2)], Verdict.PROMOTED),
        ([Pairs(200, 9, 10)], Verdict.KEPT),  # a loss is seen
        ([Pairs(40, 5, 5)], Verdict.KEPT),  # as good, but that may be chance
        ([Pairs(200, 2, 100)], Verdict.FAILED),
        ([Pairs(200, 10, 10), Pairs(50, 0, 40)], Verdict.FAILED),  # the golden set fails
        ([Pairs(200, 10, 10), Pairs(200, 0, 1)], Verdict.KEPT),
        ([Pairs(200, 10, 10), Pairs(0, 0, 0)], Verdict.KEPT),
    ],
)
def test_each_verdict(comparisons, verdict):
    assert judge(comparisons, MARGIN, 0.01) is verdict


def test_bets_that_are_spread_finer_come_to_the_same(monkeypatch):
    pairs = [Pairs(200, 5, 40), Pairs(100, 2, 60), Pairs(1000, 30, 120)]
    before = [each.log_evidence_of_loss(MARGIN) for each in pairs]
    monkeypatch.setattr("titand.learning.gate._BETS", 256)
    assert [each.log_evidence_of_loss(MARGIN) for each in pairs] == pytest.approx(before, rel=0.02, abs=0.05)
