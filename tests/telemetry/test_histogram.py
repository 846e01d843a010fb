"""The latency histogram against sorted lists."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.telemetry.histogram import OCTAVES, SMALLEST_SECONDS, STEPS, Histogram

LARGEST_SECONDS = SMALLEST_SECONDS * 2.0**OCTAVES
durations = st.floats(SMALLEST_SECONDS, LARGEST_SECONDS, exclude_max=True)
any_durations = st.floats(0, 1e6)


def histogram_of(seconds):
    histogram = Histogram()
    for one in seconds:
        histogram.record(one)
    return histogram


def exact_quantile(seconds, ratio):
    """The smallest recorded value that at least this share of all values does not exceed."""
    return sorted(seconds)[max(0, math.ceil(ratio * len(seconds)) - 1)]


@given(st.lists(durations, min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_within_one_part_in_32_of_the_exact_one(seconds, ratio):
    found = histogram_of(seconds).quantile(ratio)

    assert found == pytest.approx(exact_quantile(seconds, ratio), rel=1 / (2 * STEPS))


@given(st.lists(any_durations, min_size=1, max_size=50))
def test_least_most_sum_and_count_are_exact(seconds):
    histogram = histogram_of(seconds)

    assert histogram.quantile(0) == min(seconds)
    assert histogram.quantile(1) == max(seconds)
    assert histogram.sum_seconds == pytest.approx(math.fsum(seconds))
    assert histogram.count == len(seconds)


@given(st.lists(any_durations, min_size=1, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_quantile_is_never_smaller(seconds, one, other):
    histogram = histogram_of(seconds)

    assert histogram.quantile(min(one, other)) <= histogram.quantile(max(one, other))


@given(st.lists(any_durations, max_size=30), st.lists(any_durations, max_size=30))
def test_merging_is_recording_everything_in_one(here, there):
    merged = histogram_of(here)
    merged.merge(histogram_of(there))
    together = histogram_of(here + there).to_plain()

    assert merged.to_plain().pop("sum_seconds") == pytest.approx(together.pop("sum_seconds"))
    assert {**merged.to_plain(), "sum_seconds": None} == {**together, "sum_seconds": None}


@given(st.lists(any_durations, max_size=30))
def test_a_histogram_goes_through_json_and_back(seconds):
    plain = histogram_of(seconds).to_plain()

    back = Histogram.from_plain(json.loads(json.dumps(plain)))

    assert back.to_plain() == plain
    assert back.quantile(0.5) == histogram_of(seconds).quantile(0.5)


def test_what_is_too_short_or_too_long_for_a_bucket_is_still_counted():
    histogram = histogram_of([0.0, SMALLEST_SECONDS / 1000, LARGEST_SECONDS, 1e9])

    assert histogram.count == 4
    assert sorted(histogram.to_plain()["buckets"].values()) == [2, 2]


def test_every_bucket_begins_where_the_one_before_ends():
    edges = [SMALLEST_SECONDS * 2.0**octave * (1 + step / STEPS) for octave in range(OCTAVES) for step in range(STEPS)]
    for number, edge in enumerate(edges):
        assert list(histogram_of([edge]).to_plain()["buckets"]) == [str(number)]
        if number:
            below = math.nextafter(edge, 0)
            assert list(histogram_of([below]).to_plain()["buckets"]) == [str(number - 1)]


@pytest.mark.parametrize("nonsense", [-1e-9, math.nan, math.inf])
def test_what_is_no_duration_is_refused_and_leaves_no_trace(nonsense):
    histogram = histogram_of([0.5])
    before = histogram.to_plain()

    with pytest.raises(ValueError, match="not a duration"):
        histogram.record(nonsense)
    assert histogram.to_plain() == before


def test_nothing_recorded_has_no_quantile():
    assert Histogram().quantile(0.99) is None


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.nan])
def test_there_is_no_quantile_outside_0_to_1(ratio):
    with pytest.raises(ValueError, match="between 0 and 1"):
        histogram_of([1.0]).quantile(ratio)


@pytest.mark.parametrize("buckets", [{"480": 1}, {"-1": 1}, {"3": -1}])
def test_a_histogram_of_another_shape_is_refused(buckets):
    with pytest.raises(ValueError, match="no histogram"):
        Histogram.from_plain({"buckets": buckets, "sum_seconds": 1.0})
