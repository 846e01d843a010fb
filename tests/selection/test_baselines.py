import dataclasses
from itertools import combinations

import pytest
import torch

from tests.selection.streams import Window, assert_unbiased, estimates, make_window, window_of
from titand.selection.baselines import cover, entropy, ocs_score, top
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.selector import make_selector


def chosen(policy, window, batch_size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return make_selector(policy).select(window.candidates(), window.scores, batch_size, generator)


def in_order(value, count):
    return sorted(range(len(value)), key=value.__getitem__)[:count]


def test_low_loss_and_high_loss_are_the_two_ends_of_the_losses():
    window = make_window()
    loss = window.scores.loss.tolist()

    assert chosen("ll", window, 5).index.tolist() == in_order(loss, 5)
    assert chosen("hl", window, 5).index.tolist() == in_order([-x for x in loss], 5)


def test_top_importance_are_the_largest_gradients():
    window = make_window()
    norm = window.gradient.norm(dim=1).tolist()

    assert chosen("gn-top", window, 5).index.tolist() == in_order([-x for x in norm], 5)


def test_entropy_takes_the_most_uncertain_and_looks_at_no_label():
    probability = torch.tensor([[0.98, 0.01, 0.01], [0.4, 0.3, 0.3], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0]])
    for label in ([0, 0, 0, 0], [2, 1, 1, 0]):
        gradient = LastLayerGradient(torch.ones(4, 3), torch.ones(4, 1))
        window = Window(torch.tensor(label), Scores(gradient, torch.ones(4), probability), 3)
        assert chosen("ce", window, 2).index.tolist() == [1, 2]


def test_entropy_is_that_of_the_library():
    probability = make_window().scores.probability

    torch.testing.assert_close(entropy(probability), torch.distributions.Categorical(probability).entropy())


@pytest.mark.parametrize("policy", ["ll", "hl", "ce", "gn-top", "ocs"])
def test_methods_without_weights_of_their_own_use_the_plain_average(policy):
    assert chosen(policy, make_window(), 5).sample_weight.tolist() == [1.0] * 5


def test_coreset_scores_are_those_of_the_definition():
    window = make_window(size=12)
    g = window.gradient
    cosine = torch.nn.functional.cosine_similarity

    score = ocs_score(g @ g.T, torch.ones(12, dtype=torch.float64))

    for i in range(12):
        similarity = cosine(g[i], g.mean(0), dim=0)
        others = [cosine(g[i], g[j], dim=0) for j in range(12) if j != i]
        assert score[i].item() == pytest.approx(float(similarity - sum(others) / 11))
    assert chosen("ocs", window, 4).index.tolist() == in_order([-x for x in score.tolist()], 4)


def test_coreset_scores_of_identical_gradients_tie():
    g = torch.ones(6, 3, dtype=torch.float64)

    score = ocs_score(g @ g.T, torch.ones(6, dtype=torch.float64))

    torch.testing.assert_close(score, torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)


def test_coreset_scores_of_zero_gradients_are_zero():
    assert ocs_score(torch.zeros(3, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)).tolist() == [0.0] * 3


def copies(window, times):
    """The window in which candidate i came `times[i]` times, and the row that each of its samples was."""
    row = torch.arange(window.size).repeat_interleave(torch.tensor(times))
    return Window(window.label[row], window.scores.take(row), window.class_count), row


def test_behind_a_filter_a_candidate_counts_as_the_arrivals_it_stands_for():
    # Against the definition on the window written out, but for one's own copies: they are no others.
    window, times = make_window(size=8), [1, 5, 2, 1, 3, 1, 1, 4]
    weighted = window.candidates(stage_weight=torch.tensor(times, dtype=torch.float64))
    g = window.gradient
    whole, row = copies(window, times)
    cosine = torch.nn.functional.cosine_similarity

    expected = []
    for i in range(8):
        others = [cosine(g[i], g[j], dim=0) for j in row.tolist() if j != i]
        expected.append(float(cosine(g[i], whole.gradient.mean(0), dim=0) - sum(others) / len(others)))

    assert ocs_score(g @ g.T, weighted.stage_weight).tolist() == pytest.approx(expected)
    draw = make_selector("ocs").select(weighted, window.scores, 3, torch.Generator())
    assert draw.index.tolist() == in_order([-x for x in expected], 3)
    assert draw.index.tolist() != chosen("ocs", window, 3).index.tolist()


def coverage(distance, label, mass, selected):
    """F(S) of the definition, with its loops."""
    furthest = distance.max().item()
    total = 0.0
    for i in range(len(label)):
        near = [distance[i, j].item() for j in selected if label[j] == label[i]]
        total += mass[i].item() * min(near, default=furthest)
    return furthest - total / mass.sum().item()


@pytest.mark.parametrize("seed", range(6))
def test_the_greedy_cover_is_within_its_bound_of_the_best(seed):
    window = make_window(size=9, class_count=3, seed=seed)
    x = window.scores.input
    distance = torch.cdist(x, x)

    draw = cover(distance, window.candidates(), 4, torch.Generator().manual_seed(0))

    def value(rows):
        return coverage(distance, window.label, torch.ones(9), rows)

    best = max(value(rows) for rows in combinations(range(9), 4))
    assert value(draw.index.tolist()) >= (1 - 1 / 2.718281828) * best
    first = max(value([i]) for i in range(9))
    assert value(draw.index[:1].tolist()) == pytest.approx(first)


def test_cover_weights_count_the_samples_that_each_stands_for():
    window = window_of(
        torch.zeros(7, 2, dtype=torch.float64),
        torch.tensor([0, 0, 0, 0, 1, 1, 1]),
        torch.tensor([[0.0, 0], [0.1, 0], [0.2, 0], [0.1, 9], [5.0, 5], [5.1, 5], [5.2, 5]], dtype=torch.float64),
    )

    draw = chosen("camel", window, 3)

    assert sorted(draw.index.tolist()) == [1, 3, 5]
    weight = dict(zip(draw.index.tolist(), draw.sample_weight.tolist(), strict=True))
    assert weight == pytest.approx({1: 3 * 3 / 7, 3: 3 * 1 / 7, 5: 3 * 3 / 7})


@pytest.mark.parametrize("seed", range(4))
def test_behind_a_filter_the_cover_is_that_of_the_window_written_out(seed):
    window, times = make_window(size=8, class_count=3, seed=seed), [1, 5, 2, 1, 3, 1, 1, 4]
    weighted = window.candidates(stage_weight=torch.tensor(times, dtype=torch.float64))
    weighted = dataclasses.replace(weighted, class_count=torch.tensor([sum(times), 0, 0]))
    whole, row = copies(window, times)

    draw = make_selector("camel").select(weighted, window.scores, 4, torch.Generator())

    written_out = chosen("camel", whole, 4)
    assert draw.index.tolist() == row[written_out.index].tolist()
    nearest = torch.cdist(whole.scores.input, window.scores.input[draw.index])
    nearest[whole.label.unsqueeze(1) != window.label[draw.index]] = float("inf")
    count = [int(((nearest.argmin(1) == j) & nearest[:, j].isfinite()).sum()) for j in range(4)]
    assert draw.sample_weight.tolist() == pytest.approx([4 * each / sum(times) for each in count])


def test_cover_weights_are_shared_where_a_sample_is_as_near_to_two():
    at = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    window = window_of(torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.int64), at)
    ends = window.candidates(stage_weight=torch.tensor([30.0, 1.0, 9.0], dtype=torch.float64))

    draw = make_selector("camel").select(ends, window.scores, 2, torch.Generator())

    weight = dict(zip(draw.index.tolist(), draw.sample_weight.tolist(), strict=True))
    assert weight == pytest.approx({0: 2 * 30.5 / 3, 2: 2 * 9.5 / 3})


def test_cover_weights_sum_up_to_the_batch_when_every_class_is_covered():
    draw = chosen("camel", make_window(size=30, class_count=3), 10)

    assert draw.sample_weight.sum().item() == pytest.approx(10)


def test_cover_needs_the_inputs():
    window = make_window()
    part = window.scores
    blind = Window(window.label, Scores(part.gradient, part.loss, part.probability), window.class_count)

    with pytest.raises(ValueError, match="raw inputs"):
        chosen("camel", blind, 5)


def test_importance_sampling_is_unbiased_with_repeats_merged():
    window = make_window(size=12, skill=4.0)

    estimate, _ = estimates(window, make_selector("is"), 10, 1500)

    assert_unbiased(estimate, window.gradient.mean(0))
    assert any(len(chosen("is", window, 10, seed).index) < 10 for seed in range(10))


def test_importance_sampling_draws_a_sample_in_proportion_to_its_norm():
    window = make_window(size=6)
    share = window.gradient.norm(dim=1) / window.gradient.norm(dim=1).sum()
    repetitions = 3000

    count = torch.zeros(6, dtype=torch.float64)
    for seed in range(repetitions):
        count[chosen("is", window, 1, seed).index] += 1

    assert ((count / repetitions - share).abs() <= 5 * (share * (1 - share) / repetitions).sqrt()).all()


@pytest.mark.parametrize("is_sure", [False, True])
def test_importance_sampling_draws_by_stage_weight_times_norm_and_by_stage_weight_where_all_norms_are_zero(is_sure):
    window = make_window(size=5, skill=1e4 if is_sure else 2.0)
    times = torch.tensor([1.0, 2.0, 4.0, 1.0, 8.0], dtype=torch.float64)
    size = times * (1 if is_sure else window.gradient.norm(dim=1))
    assert is_sure == (float(window.gradient.norm()) == 0)
    share, repetitions = size / size.sum(), 1500

    count = torch.zeros(5, dtype=torch.float64)
    for seed in range(repetitions):
        draw = make_selector("is").select(
            window.candidates(stage_weight=times), window.scores, 1, torch.Generator().manual_seed(seed)
        )
        count[draw.index] += 1
        assert draw.sample_weight.item() == pytest.approx(float(times[draw.index] / (5 * share[draw.index])))

    assert ((count / repetitions - share).abs() <= 5 * (share * (1 - share) / repetitions).sqrt()).all()


def test_importance_sampling_tempers_its_weights_as_it_is_told():
    window = make_window(size=30)
    selector, plain = make_selector("is", weight_exponent=0.5), make_selector("is")

    draw = selector.select(window.candidates(), window.scores, 6, torch.Generator().manual_seed(1))

    unbiased = plain.select(window.candidates(), window.scores, 6, torch.Generator().manual_seed(1)).sample_weight
    torch.testing.assert_close(draw.sample_weight / draw.sample_weight[0], (unbiased / unbiased[0]).sqrt())


def test_importance_sampling_has_the_variance_of_its_closed_form():
    window = make_window(size=30)
    norm, truth = window.gradient.norm(dim=1), window.gradient.mean(0)

    estimate, _ = estimates(window, make_selector("is"), 5, 3000)

    expected = (norm.mean().square() - truth.square().sum()) / 5
    measured = (estimate - truth).square().sum(1).mean()
    torch.testing.assert_close(measured, expected, rtol=0.08, atol=0)


def test_ties_are_broken_by_chance():
    generator = torch.Generator().manual_seed(0)
    score = torch.tensor([1.0, 1.0, 0.0, 1.0])

    pairs = {tuple(sorted(top(score, 2, generator).tolist())) for _ in range(60)}

    assert pairs == {(0, 1), (0, 3), (1, 3)}
