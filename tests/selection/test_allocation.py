from itertools import product
from math import inf, isclose

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from titand.selection.allocation import allocate, stratify

variances = st.one_of(st.just(0.0), st.floats(1e-3, 100))
strata = st.lists(st.tuples(variances, st.integers(1, 5)), min_size=1, max_size=4)


def loss(variance, draws):
    """What the split is meant to make least, straight from the formula."""
    return sum(inf if b == 0 else v / b for v, b in zip(variance, draws, strict=True))


def splits(available, budget):
    """Every way to give each stratum at least one draw, at most what it has, and all that can be given."""
    every = product(*(range(1, cap + 1) for cap in available))
    return [split for split in every if sum(split) == min(budget, sum(available))]


@given(strata, st.integers(0, 14))
def test_no_other_split_has_less_variance(strata, spare):
    variance, available = zip(*strata, strict=True)
    budget = len(variance) + spare

    draws = allocate(variance, available, budget)

    rivals = splits(available, budget)
    assert tuple(draws) in rivals
    assert isclose(loss(variance, draws), min(loss(variance, s) for s in rivals), rel_tol=1e-12)


def test_draws_are_split_in_proportion_to_the_root_of_the_variance_when_there_are_many():
    draws = allocate([1.0, 4.0, 9.0], [10**6] * 3, 6000)

    assert draws == [1000, 2000, 3000]


def test_fewer_draws_than_strata_are_refused():
    with pytest.raises(ValueError, match="2 draws cannot cover 3 strata"):
        allocate([1.0, 1.0, 1.0], [5, 5, 5], 2)


def window(seed, class_count, per_class):
    """Gradient of each sample and its class; some classes agree with themselves, some do not."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(class_count).repeat_interleave(per_class)
    centre = torch.randn(class_count, 4, generator=generator, dtype=torch.float64)
    spread = torch.rand(class_count, 1, generator=generator, dtype=torch.float64) * 3
    noise = torch.randn(len(label), 4, generator=generator, dtype=torch.float64)
    return centre[label] + noise * spread[label], label


def single_draw_variance(gradient):
    """Of the estimate g_i / p_i with p_i in proportion to |g_i|, term by term."""
    norm = gradient.norm(dim=1)
    p = norm / norm.sum()
    total = gradient.sum(0)
    return float(sum(p_i * (g / p_i - total).square().sum() for g, p_i in zip(gradient, p, strict=True)))


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(8))
def test_no_other_cut_and_split_has_less_variance(seed, budget):
    class_count, per_class = 4, 3
    gradient, label = window(seed, class_count, per_class)
    own = [gradient[label == y] for y in range(class_count)]
    total = [float(g.norm(dim=1).sum()) for g in own]
    gram = [[float(a.sum(0) @ b.sum(0)) for b in own] for a in own]

    strata = stratify(total, gram, [per_class] * class_count, budget)

    order = sorted(range(class_count), key=lambda y: -total[y])
    least = inf
    for cut in range(min(class_count, budget)):
        members = [*order[:cut], *([order[cut:]])]
        parts = [[m] if isinstance(m, int) else m for m in members]
        variance = [single_draw_variance(torch.cat([own[y] for y in part])) for part in parts]
        available = [per_class * len(part) for part in parts]
        least = min(least, *(loss(variance, split) for split in splits(available, budget)))
    assert isclose(loss(strata.variance, strata.draws), least, rel_tol=1e-9)
    assert sorted(y for part in strata.members for y in part) == list(range(class_count))
    assert sum(strata.draws) == min(budget, class_count * per_class)


def test_more_classes_than_draws_leave_every_class_in_some_stratum():
    strata = stratify([1.0] * 35, torch.eye(35).tolist(), [1] * 35, 10)

    assert sorted(y for part in strata.members for y in part) == list(range(35))
    assert len(strata.members) <= 10
    assert sum(strata.draws) == 10


def test_a_pooled_stratum_may_have_as_many_draws_as_its_classes_have_candidates():
    # One candidate a class, at right angles: m of them pooled have the variance m^2 - m, those that stand alone none.
    strata = stratify([1.0] * 35, torch.eye(35).tolist(), [1] * 35, 20)

    least = min(((35 - cut) ** 2 - (35 - cut)) / (20 - cut) for cut in range(20))
    assert loss(strata.variance, strata.draws) == pytest.approx(least)
    assert sum(strata.draws) == 20


def test_no_variance_is_below_zero_whatever_rounding_makes_of_it():
    # Agreeing gradients: the square of the sum may come out a hair above the sum of the norms, squared.
    above = 1 + 1e-9
    strata = stratify([1.0, 1.0, 1.0], [[above] * 3] * 3, [2] * 3, 2)

    assert strata.variance == (0.0, 0.0)
    assert sum(strata.draws) == 2


@pytest.mark.parametrize(("total", "budget"), [([], 3), ([1.0], 0)])
def test_nothing_to_split_is_refused(total, budget):
    with pytest.raises(ValueError, match="nothing to stratify"):
        stratify(total, [[1.0]] * len(total), [1] * len(total), budget)
