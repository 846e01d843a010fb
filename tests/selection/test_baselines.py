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
