"""Intervals and crossings against scipy's tables, hand counts and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.paper.statistics import (
    SMOOTHING,
    T_95,
    crossing,
    difference,
    ratio_to_target,
    shares_to_target,
    smoothed,
    t_interval,
)


def ramps(slope, count=8, points=40, noise=0.0, seed=0):
    """Curves that rise by `slope` a point, from 0, up to 100 at most."""
    generator = np.random.default_rng(seed)
    return np.minimum(100, slope * np.arange(1, points + 1)) + noise * generator.standard_normal((count, points))


def test_the_quantiles_are_those_of_students_t():
    stats = pytest.importorskip("scipy.stats")
    assert pytest.approx(stats.t.ppf(0.975, np.arange(1, len(T_95) + 1)), abs=6e-4) == list(T_95)


def test_the_interval_covers_the_true_mean_19_times_of_20():
    generator = np.random.default_rng(1)
    intervals = [t_interval(generator.normal(3.0, 2.0, 5).tolist()) for _ in range(4000)]
    covered = sum(each.low <= 3.0 <= each.high for each in intervals) / 4000
    assert covered == pytest.approx(0.95, abs=0.012)  # 3.5 standard deviations of the share


def test_of_a_single_seed_nothing_is_known():
    estimate = t_interval([5.0])
    assert (estimate.value, estimate.low, estimate.high) == (5.0, -np.inf, np.inf)


def test_smoothing_is_the_mean_of_the_last_points():
    curves = np.random.default_rng(2).random((3, 20))
    result = smoothed(curves)
    for point in range(20):
        expected = curves[:, max(0, point + 1 - SMOOTHING) : point + 1].mean(axis=1)
        assert result[:, point] == pytest.approx(expected)


def test_a_curve_that_never_gets_there_is_charged_its_whole_length():
    assert crossing(np.array([1.0, 2.0, 3.0]), 3.5) == 1.0
    assert crossing(np.array([1.0, 4.0, 3.0]), 3.5) == pytest.approx(2 / 3)


def test_twice_the_slope_takes_half_the_rounds():
    estimate = ratio_to_target(ramps(2.0), ramps(1.0))
    assert estimate.value == pytest.approx(0.5)
    assert (estimate.low, estimate.high) == (0.5, 0.5)  # no seed differs from another


def test_the_reference_takes_as_long_as_itself():
    curves = ramps(1.0, noise=3.0)
    estimate = ratio_to_target(curves, curves)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)


def test_the_reference_is_measured_by_its_own_first_crossing_not_by_its_whole_run():
    flat = np.tile(np.concatenate([np.arange(20.0), np.full(20, 19.0)]), (5, 1))
    assert shares_to_target(flat, flat) == (0.5, 0.5)


@pytest.mark.parametrize("at", [0.25, 0.5, 1.0])
def test_on_a_straight_line_a_target_on_the_way_gives_the_same_ratio(at):
    assert ratio_to_target(ramps(2.0), ramps(1.0), at).value == pytest.approx(0.5)
    assert shares_to_target(ramps(2.0), ramps(1.0), at) == pytest.approx((at / 2, at))


def test_the_interval_of_a_ratio_grows_with_the_noise_between_seeds():
    calm = ratio_to_target(ramps(2.0, noise=1.0), ramps(1.0, noise=1.0, seed=9))
    wild = ratio_to_target(ramps(2.0, noise=10.0), ramps(1.0, noise=10.0, seed=9))
    assert wild.high - wild.low > calm.high - calm.low > 0


def test_differences_are_paired_by_seed():
    level = 10 * np.random.default_rng(3).standard_normal((6, 1)) + np.zeros((6, 4))
    estimate = difference(level + 1.5, level)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.5, 1.5, 1.5))
