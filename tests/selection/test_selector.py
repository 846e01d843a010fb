import copy
import dataclasses
import math
from itertools import permutations

import pytest
import torch

from tests.selection.outcomes import outcomes
from tests.selection.streams import (
    Window,
    assert_unbiased,
    estimates,
    make_window,
    mean_squared_error,
    window_of,
)
from titand.selection.baselines import ISSelector
from titand.selection.candidate_buffer import CandidateBuffer
from titand.selection.candidates import CandidateSet
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.selector import CISSelector, UniformSelector, class_design, make_selector, unbiased_weight


def design(window: Window, batch_size: int, candidates: CandidateSet | None = None):
    candidates = candidates or window.candidates()
    key = torch.tensor(candidates.key)
    return class_design(candidates, window.scores.gradient.take(key).gram(), batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 10, 25, 39, 40])
@pytest.mark.parametrize("seed", range(3))
def test_the_weights_of_cis_undo_the_bias_of_its_draw_exactly(batch_size, seed):
    # A row has the same weight whenever it is drawn, so the expectation is a finite sum over the rows.
    window = make_window(seed=seed)
    weight_of = {}
    for attempt in range(300):
        generator = torch.Generator().manual_seed(attempt)
        draw = CISSelector().select(window.candidates(), window.scores, batch_size, generator)
        for row, weight in zip(draw.index.tolist(), draw.sample_weight.tolist(), strict=True):
            assert weight_of.setdefault(row, weight) == weight

    chance = torch.tensor(design(window, batch_size).probability, dtype=torch.float64)
    seen = torch.tensor(sorted(weight_of))
    weight = torch.tensor([weight_of[row] for row in sorted(weight_of)], dtype=torch.float64)
    # Each term is 1/n for each row that was ever drawn: rows of chance below one in a hundred may be missing.
    torch.testing.assert_close(chance[seen] * weight / batch_size, torch.full_like(weight, 1 / 40))
    assert chance.sum().item() == pytest.approx(batch_size)
    unseen = set(range(40)) - set(weight_of)
    assert all(chance[row] < 0.05 for row in unseen)


@pytest.mark.parametrize("batch_size", [3, 10])
@pytest.mark.parametrize(("rule", "capacity"), [("", 0), ("stratified", 12), ("stratified", 4), ("uniform", 12)])
@pytest.mark.parametrize(
    "selector",
    [CISSelector(), CISSelector(least_importance=0.5), UniformSelector(), UniformSelector(by_class=True), ISSelector()],
)
def test_both_stages_together_are_unbiased(selector, rule, capacity, batch_size):
    # Five classes: fewer draws than classes, and fewer slots than classes, are among the cases.
    window = make_window()

    estimate, _ = estimates(window, selector, batch_size, 500, rule, capacity)

    assert_unbiased(estimate, window.gradient.mean(0))


def windows_left(buffer, arrivals):
    """Every way chance can fill the buffer with these arrivals, (key, stratum, size), with its probability."""
    if not arrivals:
        yield 1.0, buffer
        return
    buffer = copy.deepcopy(buffer)
    buffer.put(*arrivals[0])
    if not buffer.is_full:
        yield from windows_left(buffer, arrivals[1:])
        return
    start = 0.0
    for chance, _ in outcomes(lambda u: copy.deepcopy(buffer).shed(u)):
        after = copy.deepcopy(buffer)
        after.shed(start + chance / 2)
        start += chance
        for p, left in windows_left(after, arrivals[1:]):
            yield chance * p, left


@pytest.mark.parametrize("capacity", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("size", [[1.0] * 5, [0.5, 3.0, 1.0, 0.2, 2.0]])
def test_both_stages_are_exactly_unbiased_over_all_that_chance_can_do(size, batch_size, capacity):
    # Each outcome of the filter, and sum_i p_i w_i g_i / B over its candidates. Two slots are less than the classes.
    window = make_window(size=5, class_count=3, seed=4)
    assert len(set(window.label.tolist())) == 3
    arrivals = list(zip(range(5), window.label.tolist(), size, strict=True))
    expectation, certainty = torch.zeros_like(window.gradient[0]), 0.0

    for chance, left in windows_left(CandidateBuffer(capacity), arrivals):
        kept = [item for _, item in left]
        row = torch.tensor([item.key for item in kept])
        weight = torch.tensor([item.inverse_probability for item in kept], dtype=torch.float64)
        candidates = window.candidates(row, weight)
        chances = class_design(candidates, window.scores.gradient.take(row).gram(), batch_size, least_importance=0.3)
        drawn = min(batch_size, len(kept))
        assert sum(chances.probability) == pytest.approx(drawn)
        share = unbiased_weight(candidates, chances, torch.arange(len(kept))) / len(kept)  # w_i / B, whatever B
        expectation += chance * (torch.tensor(chances.probability, dtype=torch.float64) * share) @ window.gradient[row]
        certainty += chance

    assert certainty == pytest.approx(1)
    torch.testing.assert_close(expectation, window.gradient.mean(0), rtol=0, atol=1e-8)


def test_cis_has_less_error_than_random_selection_and_the_classes_matter():
    window = make_window(size=100, class_count=10, width=8, skill=3.0)
    truth = window.gradient.mean(0)

    error = {
        policy: mean_squared_error(estimates(window, make_selector(policy), 10, 600)[0], truth)
        for policy in ("cis", "is", "stratified", "uniform")
    }

    assert error["cis"] < error["is"] < error["uniform"]
    assert error["cis"] < error["stratified"] < error["uniform"]


def test_the_chances_follow_the_candidates_whatever_their_order():
    for order in permutations(range(5)):
        window = make_window(size=5, class_count=3, seed=4)
        row = torch.tensor(order)
        turned = Window(window.label[row], window.scores.take(row), 3)

        straight, shuffled = design(window, 3).probability, design(turned, 3).probability

        assert [straight[i] for i in order] == pytest.approx(list(shuffled))


def test_a_candidate_that_stands_for_many_counts_as_that_gradient_times_as_many():
    window = make_window(size=12, class_count=3)
    times = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 + 1
    gram = window.scores.gradient.gram()

    weighted = class_design(window.candidates(stage_weight=times), gram, 5)
    plain = class_design(window.candidates(), times.unsqueeze(1) * gram * times, 5)

    assert weighted.stratum == plain.stratum
    assert weighted.probability == pytest.approx(plain.probability)


def test_a_class_whose_gradients_agree_gets_one_draw_and_one_that_scatters_the_rest():
    # Norms are equal, so importance sampling would split the draws evenly.
    residual = torch.tensor([[0.5, -0.5]] * 12, dtype=torch.float64)
    angle = torch.arange(6) * (2 * math.pi / 6)
    scattered = torch.stack([angle.cos(), angle.sin()], dim=1).double()
    hidden = torch.cat([torch.tensor([[1.0, 0.0]] * 6, dtype=torch.float64), scattered])
    label = torch.tensor([0] * 6 + [1] * 6)
    window = Window(label, Scores(LastLayerGradient(residual, hidden), residual[:, 0], residual.abs()), 2)

    chance = torch.tensor(design(window, 6).probability)

    assert chance[:6].sum().item() == pytest.approx(1)
    assert chance[6:].sum().item() == pytest.approx(5)


def test_without_any_gradient_draws_are_split_as_the_stream_is():
    label = torch.tensor([0] * 20 + [1] * 10 + [2] * 5)
    logits = torch.nn.functional.one_hot(label).double() * 1e4
    window = window_of(logits, label, torch.ones(35, 2, dtype=torch.float64))
    assert window.scores.gradient.norm().max() == 0

    draw = CISSelector().select(window.candidates(), window.scores, 7, torch.Generator().manual_seed(0))

    assert torch.bincount(label[draw.index]).tolist() == [4, 2, 1]
    torch.testing.assert_close(draw.sample_weight, torch.ones(7, dtype=torch.float64))
    assert draw.variance_ratio is None


@pytest.mark.parametrize("batch_size", [40, 1000])
def test_a_batch_that_holds_the_window_gives_its_mean_gradient(batch_size):
    window = make_window()

    draw = CISSelector().select(window.candidates(), window.scores, batch_size, torch.Generator())

    assert sorted(draw.index.tolist()) == list(range(40))
    estimate = (draw.sample_weight.unsqueeze(1) * window.gradient[draw.index]).mean(0)
    torch.testing.assert_close(estimate, window.gradient.mean(0))


def test_what_dropped_rows_stood_for_is_taken_over_by_the_others():
    window = make_window(size=10)
    scores = copy.deepcopy(window.scores)
    scores.loss[3] = float("nan")

    draw = CISSelector().select(window.candidates(), scores, 10, torch.Generator())

    assert draw.dropped.tolist() == [3]
    torch.testing.assert_close(draw.sample_weight, torch.ones(9, dtype=torch.float64))


def test_the_others_take_it_over_in_equal_parts_and_stay_what_they_were():
    window = make_window(size=6, class_count=3)
    times = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=torch.float64)
    whole = dataclasses.replace(window.candidates(stage_weight=times), key=(10, 11, 12, 13, 14, 15), by_class=False)

    part = whole.take(torch.tensor([5, 2, 0]))

    assert part.key == (15, 12, 10)
    assert part.label.tolist() == window.label[[5, 2, 0]].tolist()
    assert part.stage_weight.tolist() == pytest.approx([12.6, 6.3, 2.1])  # 21 in all, as before
    assert part.window_size == whole.window_size == 6
    assert not part.by_class


def test_rows_that_are_dropped_leave_the_gain_of_the_others():
    window = make_window(size=30)
    scores = copy.deepcopy(window.scores)
    scores.loss[3] = float("nan")
    rest = torch.tensor([row for row in range(30) if row != 3])

    draw = CISSelector().select(window.candidates(), scores, 5, torch.Generator())

    alone = CISSelector().select(window.candidates().take(rest), window.scores.take(rest), 5, torch.Generator())
    assert draw.variance_ratio == alone.variance_ratio
    assert draw.variance_ratio is not None
    assert draw.index.tolist() == rest[alone.index].tolist()


def test_scores_in_half_precision_select_as_well():
    window = make_window()
    part = window.scores
    half = Scores(
        LastLayerGradient(part.gradient.residual.half(), part.gradient.hidden.half()),
        part.loss.half(),
        part.probability.half(),
    )

    draw = CISSelector().select(window.candidates(), half, 10, torch.Generator().manual_seed(0))

    assert len(draw.index) == 10
    assert draw.sample_weight.isfinite().all()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_exponent_tempers_the_weights_and_leaves_the_draw_alone(exponent):
    window = make_window()
    plain = CISSelector().select(window.candidates(), window.scores, 10, torch.Generator().manual_seed(0))

    draw = CISSelector(exponent).select(window.candidates(), window.scores, 10, torch.Generator().manual_seed(0))

    assert draw.index.tolist() == plain.index.tolist()
    power = plain.sample_weight**exponent
    torch.testing.assert_close(draw.sample_weight / draw.sample_weight[0], power / power[0])
    if exponent == 0:
        torch.testing.assert_close(draw.sample_weight, torch.ones(10, dtype=torch.float64))


@pytest.mark.parametrize("least", [0.1, 0.5, 1.0])
def test_no_sample_weighs_more_than_the_least_importance_allows(least):
    # One class, no row certain: u_i = a_i max(|g_i|, least mean |g|), p_i = B u_i / sum u, w_i = a_i sum u / (n u_i).
    window = make_window(size=60, class_count=1, seed=2)
    times = torch.rand(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    norm = torch.linspace(0.001, 2, 60, dtype=torch.float64)
    scores = Scores(LastLayerGradient(norm.unsqueeze(1), torch.ones(60, 1)), norm, torch.ones(60, 1))
    bounded = torch.tensor([max(x, least * float(norm.mean())) for x in norm.tolist()], dtype=torch.float64)
    expected = (times * bounded).sum() / (60 * bounded)

    seen = set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        draw = CISSelector(1.0, least).select(window.candidates(stage_weight=times), scores, 5, generator)
        torch.testing.assert_close(draw.sample_weight, expected[draw.index])
        seen.update(draw.index.tolist())

    assert min(seen) < 15, "some of the small ones are among those drawn"
    assert expected.max() <= (times * bounded).sum() / (60 * least * norm.mean()) + 1e-12


@pytest.mark.parametrize("least", [0.0, -0.1, 1.1, math.nan])
def test_a_least_importance_that_bounds_nothing_or_everything_is_refused(least):
    with pytest.raises(ValueError, match="least importance"):
        CISSelector(least_importance=least)


def test_a_pooled_stratum_is_drawn_in_the_proportion_of_its_classes():
    # Two draws for six classes alike: all are pooled, and in a list ordered by class the two are half of it apart.
    label = torch.arange(24) // 4
    residual = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64).repeat(8, 1)
    scores = Scores(LastLayerGradient(residual, torch.ones(24, 1)), residual[:, 0], residual.abs())
    window = Window(label, scores, 6)
    candidates = window.candidates()
    assert len(set(design(window, 2).stratum)) == 1

    for seed in range(100):
        draw = CISSelector().select(candidates, scores, 2, torch.Generator().manual_seed(seed))
        first, second = sorted(label[draw.index].tolist())
        assert second - first == 3, "half of the list apart"


def test_uniform_selection_gives_every_arrival_the_chance_b_of_n_through_both_stages():
    window = make_window(size=30)
    selector = UniformSelector()
    for rule in ("stratified", "uniform"):
        estimate, ratio = estimates(window, selector, 6, 1500, rule, 15)
        # Weights of one, and then the mean gradient is right only if the chances are equal.
        assert_unbiased(estimate, window.gradient.mean(0))
        assert set(ratio) == {None}


def test_uniform_weights_are_one_unless_a_candidate_stands_for_more_than_its_share():
    label, count = torch.zeros(4, dtype=torch.int64), torch.tensor([10])
    even = CandidateSet((0, 1, 2, 3), label, torch.full((4,), 2.5, dtype=torch.float64), count)
    skewed = CandidateSet((0, 1, 2, 3), label, torch.tensor([7.0, 1.0, 1.0, 1.0], dtype=torch.float64), count)

    draw = UniformSelector().select(even, None, 2, torch.Generator())
    assert draw.sample_weight.tolist() == pytest.approx([1.0, 1.0])

    draw = UniformSelector().select(skewed, None, 2, torch.Generator())
    assert sorted(draw.sample_weight.tolist()) == pytest.approx([0.6, 1.4])


def test_by_class_gives_the_batch_the_class_shares_of_the_window():
    window = make_window(size=60, class_count=3)
    share = torch.bincount(window.label) / 60
    for seed in range(30):
        draw = UniformSelector(by_class=True).select(window.candidates(), None, 12, torch.Generator().manual_seed(seed))
        drawn = torch.bincount(window.label[draw.index], minlength=3)
        assert ((drawn - 12 * share).abs() < 1).all()
