import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from titand.selection.sampling import (
    Design,
    check_exponent,
    design_of,
    draw_rows,
    draw_systematic,
    inclusion_probability,
    temper,
)

sizes = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=1, max_size=12)


def scale_of(size, count):
    """The c that solves sum_i min(1, c size_i) = count, by bisection."""
    low, high = 0.0, 1 / min(s for s in size if s > 0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(min(1, middle * s) for s in size) < count else (low, middle)
    return high


@given(sizes, st.integers(0, 14))
def test_inclusion_is_proportional_to_size_up_to_certainty(size, count):
    probability = inclusion_probability(size, count)

    assert sum(probability) == pytest.approx(min(count, len(size)))
    assert all(0 <= p <= 1 for p in probability)
    positive = [s for s in size if s > 0]
    if 0 < count < len(positive):
        expected = [min(1, scale_of(size, count) * s) for s in size]
        assert probability == pytest.approx(expected, rel=1e-6)


def test_items_of_size_zero_share_what_the_others_cannot_use():
    assert inclusion_probability([0.0, 5.0, 0.0], 2) == [0.5, 1.0, 0.5]
    assert inclusion_probability([0.0, 0.0], 1) == [0.5, 0.5]


def test_sizes_of_very_different_magnitude_keep_their_sum():
    probability = inclusion_probability([1e-12, 1.0, 1e12, 1e-12], 3)

    assert probability[1:3] == [1.0, 1.0]
    assert probability[0] == probability[3] == 0.5


def outcomes(probability):
    """Every draw the offset can lead to, with its chance: it changes only where a point meets an item's end."""
    ends = [math.fsum(probability[: i + 1]) % 1 for i in range(len(probability))]
    cuts = sorted({0.0, 1.0, *ends})
    for low, high in itertools.pairwise(cuts):
        if high - low > 1e-9:  # two ends that differ by rounding alone enclose no outcome
            yield high - low, draw_systematic(probability, (low + high) / 2)


@given(sizes, st.integers(0, 14))
def test_each_item_is_drawn_exactly_as_often_as_its_probability_says(size, count):
    probability = inclusion_probability(size, count)

    included = [0.0] * len(size)
    for chance, drawn in outcomes(probability):
        assert len(drawn) == len(set(drawn)) == min(count, len(size))
        for item in drawn:
            included[item] += chance

    assert included == pytest.approx(probability, abs=1e-7)


@given(sizes, st.integers(0, 14), st.integers(0, 12), st.floats(0, 1, exclude_max=True))
def test_a_stretch_of_neighbours_gets_its_expected_share_to_the_next_whole_draw(size, count, start, offset):
    probability = inclusion_probability(size, count)
    uncertain = [i for i, p in enumerate(probability) if 0 < p < 1]
    stretch = uncertain[start:]

    drawn = draw_systematic(probability, offset)

    expected = sum(probability[i] for i in stretch)
    assert abs(len(set(drawn) & set(stretch)) - expected) < 1 + 1e-9


@pytest.mark.parametrize("offset", [0.0, math.nextafter(1.0, 0.0)])
def test_rounding_at_the_ends_of_the_line_neither_loses_nor_doubles_a_draw(offset):
    for count in range(1, 50):
        probability = [count / 50] * 50
        assert len(set(draw_systematic(probability, offset))) == count


def test_strata_draw_what_they_are_given_and_rows_keep_their_probability():
    design = design_of([1.0, 2.0, 3.0, 5.0, 5.0], stratum=[0, 0, 0, 1, 1], draws=[2, 1])
    generator = torch.Generator().manual_seed(1)
    repetitions = 4000

    count = torch.zeros(5)
    for _ in range(repetitions):
        row = draw_rows(design, [0, 0, 0, 0, 0], generator)
        assert int((row < 3).sum()) == 2
        assert len(row) == 3
        count[row] += 1

    for frequency, p in zip((count / repetitions).tolist(), design.probability, strict=True):
        assert abs(frequency - p) <= 5 * math.sqrt(p * (1 - p) / repetitions)  # one in a million by chance


@pytest.mark.parametrize("stratum", [(0, 0, 1, 1), (1, 1, 0, 0)])
def test_strata_are_drawn_independently_of_each_other(stratum):
    design = Design(stratum, (0.5,) * 4)
    generator = torch.Generator().manual_seed(4)
    repetitions = 2000

    together = Counter(tuple(sorted(draw_rows(design, [0, 1, 2, 3], generator).tolist())) for _ in range(repetitions))

    assert set(together) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    for count in together.values():  # a quarter each, within five standard deviations
        assert abs(count / repetitions - 1 / 4) <= 5 * math.sqrt(3 / 16 / repetitions)


def test_a_list_ordered_by_group_is_stratified_by_group():
    design = Design((0,) * 8, (0.5,) * 8)
    generator = torch.Generator().manual_seed(2)
    group = [1, 0, 1, 0, 1, 0, 1, 0]

    for _ in range(50):
        row = draw_rows(design, group, generator).tolist()
        assert sum(group[i] for i in row) == 2


def test_pairs_within_a_group_are_left_to_chance():
    design = Design((0,) * 4, (0.5,) * 4)
    generator = torch.Generator().manual_seed(3)

    pairs = {tuple(sorted(draw_rows(design, [0] * 4, generator).tolist())) for _ in range(200)}

    assert len(pairs) == 6  # all of them: a fixed order would only ever give (0, 2) and (1, 3)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=10), st.floats(0, 1))
def test_tempered_weights_go_from_the_plain_average_to_the_unbiased_ones(weight, exponent):
    weight = torch.tensor(weight, dtype=torch.float64)

    torch.testing.assert_close(temper(weight, 1.0), weight)
    torch.testing.assert_close(temper(weight, 0.0), torch.ones_like(weight))
    tempered = temper(weight, exponent)
    torch.testing.assert_close(tempered.mean(), weight.mean() ** exponent)
    torch.testing.assert_close((tempered[0] / tempered[-1]).log(), exponent * (weight[0] / weight[-1]).log())


@pytest.mark.parametrize("exponent", [-0.1, 1.1, math.nan])
def test_an_exponent_outside_the_unit_interval_is_refused(exponent):
    with pytest.raises(ValueError, match="weight exponent"):
        check_exponent(exponent)
