"""Drift: told after a rise, not after a fall, rarely without either; its sums are those of the window."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.learning.drift import Drift

MARGIN = 0.05


def windows(generator, error: float, count: int, size: int = 30) -> list[float]:
    """Shares of wrong answers among `size` arrivals."""
    return (generator.binomial(size, error, count) / size).tolist()


def told(drift: Drift, errors: list[float]) -> list[int]:
    """At which of these values a rise is told."""
    return [place for place, error in enumerate(errors) if drift.observe(error) is not None]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=400))
def test_its_sums_are_those_of_the_newest_values(shares):
    drift = Drift(MARGIN)
    errors = [share / 30 for share in shares]
    for error in errors:
        drift.observe(error)
    count = sum(bucket.count for bucket in drift._buckets)
    window = errors[len(errors) - count :]
    assert drift.mean == pytest.approx(sum(window) / count)
    assert sum(bucket.squares for bucket in drift._buckets) == pytest.approx(sum(error**2 for error in window))
    sizes = [bucket.count for bucket in drift._buckets]
    assert sizes == sorted(sizes, reverse=True)


def test_the_memory_grows_with_the_logarithm_of_the_window():
    drift = Drift(MARGIN)
    for _ in range(10_000):
        drift.observe(0.1)
    assert sum(bucket.count for bucket in drift._buckets) == 10_000
    assert len(drift._buckets) <= 6 * math.log2(10_000)


@pytest.mark.parametrize("error", [0.02, 0.1, 0.5])
def test_a_stream_that_stays_is_hardly_ever_called_changed(error):
    generator = np.random.default_rng(0)
    alarmed = sum(bool(told(Drift(MARGIN), windows(generator, error, 1000))) for _ in range(20))
    assert alarmed == 0


@pytest.mark.parametrize(("after", "within"), [(0.2, 400), (0.4, 45), (0.9, 13)])
def test_a_rise_is_told_within_so_many_windows(after, within):
    generator = np.random.default_rng(1)
    for _ in range(20):
        drift = Drift(MARGIN)
        assert not told(drift, windows(generator, 0.08, 500))
        places = told(drift, windows(generator, after, 2 * within))
        assert places
        assert places[0] <= within
        assert drift.mean == pytest.approx(after, abs=0.12)


def test_a_rise_says_what_was_before_and_since():
    drift = Drift(MARGIN)
    rises = [rise for error in [0.1] * 300 + [0.7] * 40 if (rise := drift.observe(error)) is not None]
    assert rises[0].before == pytest.approx(0.1, abs=0.02)
    assert rises[0].after > 0.4
    assert drift.mean == pytest.approx(0.7, abs=0.05)


def test_learning_is_no_drift():
    generator = np.random.default_rng(2)
    drift = Drift(MARGIN)
    errors = [generator.binomial(30, 0.05 + 0.85 * math.exp(-round / 200)) / 30 for round in range(2000)]
    assert not told(drift, errors)
    assert drift.mean < 0.1


def test_a_rise_within_the_margin_does_not_matter():
    generator = np.random.default_rng(3)
    drift = Drift(MARGIN)
    assert not told(drift, windows(generator, 0.1, 1000) + windows(generator, 0.14, 3000))
    assert told(Drift(0.0), windows(generator, 0.1, 1000) + windows(generator, 0.14, 3000))
