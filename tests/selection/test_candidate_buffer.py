from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.outcomes import outcomes
from titand.selection.candidate_buffer import CandidateBuffer

chances = st.floats(0, 1, exclude_max=True)
arrival = st.tuples(st.integers(0, 4), st.floats(0.1, 10), chances)
arrivals, many_arrivals = st.lists(arrival, min_size=1, max_size=80), st.lists(arrival, min_size=30, max_size=80)


def fill(buffer, arrivals):
    for key, (stratum, size, chance) in enumerate(arrivals):
        buffer.put(key, stratum, size)
        if buffer.is_full:
            buffer.shed(chance)


@given(arrivals, st.integers(1, 12))
def test_the_buffer_is_full_as_soon_as_it_can_be_and_never_fuller(arrivals, capacity):
    buffer = CandidateBuffer(capacity)

    for key, (stratum, size, chance) in enumerate(arrivals):
        buffer.put(key, stratum, size)
        if buffer.is_full:
            buffer.shed(chance)
        assert len(buffer) == len(list(buffer)) == min(key + 1, capacity)


@given(arrivals, st.integers(5, 12))
def test_with_a_slot_for_each_the_total_of_every_stratum_is_exact(arrivals, capacity):
    buffer = CandidateBuffer(capacity)
    fill(buffer, arrivals)

    arrived, kept = Counter(), Counter()
    for stratum, size, _ in arrivals:
        arrived[stratum] += size
    for stratum, item in buffer:
        kept[stratum] += item.adjusted_size

    assert kept == pytest.approx(arrived)


@given(many_arrivals, many_arrivals, st.integers(1, 8))
def test_what_goes_is_of_the_stratum_most_above_its_share_and_never_its_last(first, second, capacity):
    buffer = CandidateBuffer(capacity)
    for window in (first, second):  # the second knows nothing of the first
        arrived, kept = Counter(), Counter()
        for key, (stratum, size, chance) in enumerate(window):
            buffer.put(key, stratum, size)
            arrived[stratum] += size
            kept[stratum] += 1
            if not buffer.is_full:
                continue
            total = sum(arrived.values())
            excess = {y: count - capacity * arrived[y] / total for y, count in kept.items() if count > 1}
            gone = window[buffer.shed(chance)][0]
            if excess:
                assert excess[gone] == pytest.approx(max(excess.values()), abs=1e-9)
            kept[gone] -= 1
        buffer.clear()


@given(st.permutations([0] * 40 + [1] * 25 + [2] * 10), st.integers(8, 30))
def test_shares_are_within_one_of_their_quota(order, capacity):
    buffer = CandidateBuffer(capacity)
    fill(buffer, [(stratum, 1.0, 0.5) for stratum in order])

    kept = Counter(stratum for stratum, _ in buffer)

    for stratum, count in Counter(order).items():
        assert abs(kept[stratum] - capacity * count / len(order)) <= 1


@given(st.permutations([(0, 1.0)] * 40 + [(1, 3.0)] * 40), st.integers(8, 24))
def test_a_quota_follows_the_sizes_that_arrived(order, capacity):
    buffer = CandidateBuffer(capacity)
    fill(buffer, [(stratum, size, 0.5) for stratum, size in order])

    kept = Counter(stratum for stratum, _ in buffer)

    assert abs(kept[1] - 0.75 * capacity) <= 1


def test_a_rare_stratum_keeps_its_only_item_for_as_long_as_another_has_two():
    buffer = CandidateBuffer(5)
    fill(buffer, [(0, 1.0, 0.0), *[(1, 1.0, 0.0)] * 500, (2, 1.0, 0.0)])

    assert Counter(stratum for stratum, _ in buffer) == {0: 1, 1: 3, 2: 1}


def test_more_strata_than_slots_are_still_unbiased_for_each():
    size = [1.0, 2.0, 3.0, 10.0]

    def kept(u):
        buffer = CandidateBuffer(3)
        fill(buffer, [(stratum, q, u) for stratum, q in enumerate(size)])
        return tuple(sorted((stratum, round(item.adjusted_size, 9)) for stratum, item in buffer))

    expectation = defaultdict(float)
    for chance, state in outcomes(kept):
        assert sum(q for _, q in state) == pytest.approx(sum(size))
        for stratum, q in state:
            expectation[stratum] += chance * q

    assert expectation == pytest.approx(dict(enumerate(size)), rel=1e-6)


def test_a_stratum_that_was_dropped_whole_may_return():
    buffer = CandidateBuffer(1)
    fill(buffer, [(0, 1.0, 0.9), (1, 1.0, 0.9), (0, 1.0, 0.9)])

    assert len(buffer) == 1
    assert sum(item.adjusted_size for _, item in buffer) == 3.0


def test_a_lowered_capacity_is_reached_by_shedding():
    buffer = CandidateBuffer(10)
    fill(buffer, [(key % 2, 1.0, 0.5) for key in range(10)])

    buffer.capacity = 4
    while buffer.is_full:
        buffer.shed(0.5)

    assert Counter(stratum for stratum, _ in buffer) == {0: 2, 1: 2}


def test_a_cleared_buffer_has_forgotten_what_arrived():
    buffer = CandidateBuffer(2)
    fill(buffer, [(0, 1.0, 0.5)] * 50)
    buffer.clear()
    fill(buffer, [(1, 1.0, 0.5), (1, 1.0, 0.5), (0, 1.0, 0.5)])

    assert sum(item.adjusted_size for _, item in buffer) == 3.0
    assert Counter(stratum for stratum, _ in buffer) == {0: 1, 1: 1}
