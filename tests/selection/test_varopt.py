import copy
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.outcomes import outcomes
from titand.selection.varopt import VarOptReservoir

sizes = st.floats(0.01, 100)
chances = st.floats(0, 1, exclude_max=True)


def reservoir_of(size):
    reservoir = VarOptReservoir()
    for key, q in enumerate(size):
        reservoir.put(key, q)
    return reservoir


def adjusted(reservoir):
    return {item.key: item.adjusted_size for item in reservoir}


def threshold_of(size):
    """The t that solves sum_i min(1, q_i / t) = k - 1, by bisection."""
    low, high = 0.0, sum(size)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(min(1, q / middle) for q in size) > len(size) - 1 else (low, middle)
    return high


@given(st.lists(sizes, min_size=2, max_size=12), st.lists(chances, min_size=1, max_size=8))
def test_survivors_are_raised_to_the_threshold_of_the_definition(size, chance):
    reservoir = reservoir_of(size)

    for u in chance:
        if len(reservoir) < 2:
            break
        before = adjusted(reservoir)
        threshold = threshold_of(list(before.values()))
        dropped = reservoir.drop(u)
        expected = {key: max(q, threshold) for key, q in before.items() if key != dropped}
        assert adjusted(reservoir) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.one_of(sizes, chances), min_size=1, max_size=60))
def test_the_total_is_kept_whatever_comes_and_goes(events):
    reservoir = VarOptReservoir()
    total = 0.0

    for key, event in enumerate(events):
        if event < 1 and len(reservoir) > 1:
            reservoir.drop(event)
        else:
            reservoir.put(key, event + 0.01)
            total += event + 0.01
        assert sum(adjusted(reservoir).values()) == pytest.approx(total)


@given(st.lists(sizes, min_size=2, max_size=6))
def test_an_item_is_dropped_with_the_chance_that_its_size_lacks(size):
    reservoir = reservoir_of(size)
    threshold = threshold_of(size)

    dropped = defaultdict(float)
    for chance, key in outcomes(lambda u: copy.deepcopy(reservoir).drop(u)):
        dropped[key] += chance

    for key, q in enumerate(size):
        assert dropped[key] == pytest.approx(1 - min(1, q / threshold), abs=1e-7)


def drop_tree(reservoir, steps):
    """Every state that `steps` leads to, with its chance. A step is a put (key, size), or None for a drop."""
    if not steps:
        yield 1.0, adjusted(reservoir)
        return
    step, *rest = steps
    if step is not None:
        reservoir.put(*step)
        yield from drop_tree(reservoir, rest)
        return
    for chance, u in outcomes_by_middle(reservoir):
        after = copy.deepcopy(reservoir)
        after.drop(u)
        for p, state in drop_tree(after, rest):
            yield chance * p, state


def outcomes_by_middle(reservoir):
    start = 0.0
    for chance, _ in outcomes(lambda u: copy.deepcopy(reservoir).drop(u)):
        yield chance, start + chance / 2
        start += chance


@settings(max_examples=15, deadline=None)
@given(st.lists(sizes, min_size=5, max_size=5), st.permutations(["put", "drop", "drop", "put"]))
def test_each_adjusted_size_is_unbiased_over_all_courses_of_events(size, order):
    # Drops may come late or in a row: other classes decide when this one must give way.
    order = ["put", "put", "put", *order]
    keys = iter(enumerate(size))
    steps = [next(keys) if event == "put" else None for event in order]
    put = {key: q for key, q in filter(None, steps)}

    expectation = defaultdict(float)
    for chance, state in drop_tree(VarOptReservoir(), steps):
        for key, value in state.items():
            expectation[key] += chance * value

    assert expectation == pytest.approx(put, rel=1e-6)


def test_equal_sizes_are_the_classical_reservoir_sample():
    steps = [(0, 1.0), (1, 1.0), *(step for key in (2, 3, 4) for step in ((key, 1.0), None))]

    included = defaultdict(float)
    for chance, state in drop_tree(VarOptReservoir(), steps):
        assert sorted(state.values()) == pytest.approx([2.5, 2.5])
        for key in state:
            included[key] += chance

    assert included == pytest.approx({key: 2 / 5 for key in range(5)}, abs=1e-9)


def test_an_item_above_the_threshold_is_kept_for_sure_and_at_its_own_size():
    for u in (0.0, 0.3, 0.6, 0.999999):
        reservoir = reservoir_of([1.0, 50.0, 1.0])
        reservoir.drop(u)
        assert adjusted(reservoir)[1] == 50.0


def test_a_level_that_is_above_the_new_threshold_keeps_its_size():
    reservoir = reservoir_of([1.0, 1.0, 1.0])
    reservoir.drop(0.1)
    reservoir.drop(0.1)  # one item that stands for three
    reservoir.put(7, 1.0)
    reservoir.put(8, 1.0)

    reservoir.drop(0.1)

    assert sorted(adjusted(reservoir).values()) == pytest.approx([2.0, 3.0])


def test_the_last_item_is_never_dropped():
    with pytest.raises(IndexError, match="last item"):
        reservoir_of([1.0]).drop(0.5)


@pytest.mark.parametrize("u", [0.0, 0.3, 0.6, 0.9])
def test_a_restored_reservoir_drops_as_the_uninterrupted_one_whatever_its_keys_are_now(u):
    # Of equal sizes the older ones come first in the list that chance picks from, also where their keys are larger now.
    first = reservoir_of([1.0, 1.0, 5.0, 1.0])
    first.drop(0.5)
    first.put(4, 1.0)
    successor = VarOptReservoir()
    key_of = {item.key: 1000 + item.key for item in first}
    successor.restore(first.to_plain(), key_of)

    for key in (5, 6):
        first.put(key, 1.0)
        successor.put(key, 1.0)
    for _ in range(4):
        dropped = first.drop(u)
        assert successor.drop(u) == key_of.get(dropped, dropped)
    assert adjusted(successor) == {key_of.get(key, key): q for key, q in adjusted(first).items()}


def test_the_chance_at_its_upper_end_still_drops_one():
    for size in ([1.0] * 7, [0.1, 0.7, 0.3], [3.0, 3.0, 1e-3]):
        reservoir = reservoir_of(size)
        for left in range(len(size) - 1, 0, -1):
            reservoir.drop(1 - 2**-53)
            assert len(reservoir) == left


@given(st.lists(sizes, min_size=3, max_size=10), chances)
def test_the_inverse_probability_is_the_factor_that_an_item_has_grown_by(size, u):
    reservoir = reservoir_of(size)
    reservoir.drop(u)

    for item in reservoir:
        assert item.size == size[item.key]
        assert item.inverse_probability == pytest.approx(item.adjusted_size / size[item.key])
        assert item.inverse_probability >= 1 - 1e-12
