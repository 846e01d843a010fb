"""Energy against closed forms, NumPy and exact integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.telemetry.energy import CounterMeter, PowerMeter

SECOND = 10**9
GAP = 3.0
watts = st.floats(0, 1000)
steps_ns = st.integers(1, int(GAP * SECOND))


def metered(samples, start_ns=0):
    meter = PowerMeter(start_ns)
    for time_ns, power in samples:
        meter.add(time_ns, power, GAP)
    return meter


@given(st.lists(st.tuples(steps_ns, watts), min_size=2, max_size=40))
def test_energy_without_gaps_is_the_trapezoid_rule(steps):
    times = np.cumsum([step for step, _ in steps])
    power = np.array([power for _, power in steps])

    meter = metered(zip(times.tolist(), power.tolist(), strict=True))

    rule = np.sum((power[1:] + power[:-1]) / 2 * np.diff(times)) / SECOND
    assert meter.joules == pytest.approx(rule, rel=1e-9)
    assert meter.covered_seconds == pytest.approx((times[-1] - times[0]) / SECOND)


def test_a_ramp_of_power_gives_its_area_however_it_is_sampled():
    times = [0, SECOND, SECOND * 3 // 2, 4 * SECOND]

    meter = metered((time, 2.0 * time / SECOND + 1.0) for time in times)

    assert meter.joules == pytest.approx(4.0**2 + 4.0)  # the integral of 2 t + 1 from 0 to 4
    assert meter.coverage_ratio(4 * SECOND) == 1.0


@given(st.lists(st.tuples(steps_ns, watts), min_size=1), st.lists(st.tuples(steps_ns, watts), min_size=1))
def test_a_gap_adds_nothing_and_covers_nothing(before, after):
    first, second = cumulated(before, 0), cumulated(after, 10**12)

    whole = metered(first + second)

    assert whole.joules == pytest.approx(metered(first).joules + metered(second).joules)
    parts = metered(first).covered_seconds + metered(second).covered_seconds
    assert whole.covered_seconds == pytest.approx(parts)


def cumulated(steps, start):
    samples = []
    for step, power in steps:
        start += step
        samples.append((start, power))
    return samples


def test_coverage_counts_the_time_before_the_first_and_after_the_last_sample():
    meter = metered([(2 * SECOND, 5.0), (3 * SECOND, 5.0)])

    assert meter.coverage_ratio(4 * SECOND) == 0.25
    assert PowerMeter(0).coverage_ratio(SECOND) == 0.0
    assert PowerMeter(SECOND).coverage_ratio(SECOND) == 0.0


def test_a_sample_that_comes_again_or_too_late_changes_nothing():
    meter = metered([(0, 5.0), (SECOND, 5.0), (SECOND, 500.0), (SECOND // 2, 500.0)])

    assert meter.joules == 5.0


@given(st.data(), st.integers(1000, 2**40), st.integers(0, 2**40))
def test_a_counter_that_wraps_loses_nothing(data, top, first):
    """The oracle is the same counter without an end."""
    rises = data.draw(st.lists(st.integers(0, top), min_size=1, max_size=20))
    meter, true = CounterMeter(0, top), first
    meter.add(0, true % (top + 1))
    for second, rise in enumerate(rises, 1):
        true += rise
        meter.add(second * SECOND, true % (top + 1))
        assert meter.watts == pytest.approx(rise / 1e6)

    assert meter.joules == pytest.approx((true - first) / 1e6)
    assert meter.coverage_ratio(len(rises) * SECOND) == 1.0


def test_a_counter_of_unknown_range_that_falls_leaves_a_hole():
    meter = CounterMeter(0, range_microjoules=0)
    for second, microjoules in enumerate([5_000_000, 6_000_000, 1_000_000, 3_000_000]):
        meter.add(second * SECOND, microjoules)
        if second == 2:
            assert meter.watts is None

    assert (meter.joules, meter.watts, meter.covered_seconds) == (3.0, 2.0, 2.0)


def test_a_counter_read_twice_at_one_time_counts_once():
    meter = CounterMeter(0, 100)
    for microjoules in (10, 20, 30):
        meter.add(SECOND, microjoules)

    assert (meter.joules, meter.watts) == (0.0, None)
