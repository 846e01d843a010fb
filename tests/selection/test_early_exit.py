import numpy as np
import pytest
import torch

from titand.selection.early_exit import FLOORS, EarlyExit

CLASSES, WIDTH = 4, 6


def samples(count, seed):
    """Class means far apart; one sample of four has the label of the next class."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(0, CLASSES, (count,), generator=generator)
    feature = torch.nn.functional.one_hot(true, WIDTH) * 3.0
    feature += 0.1 * torch.randn(count, WIDTH, generator=generator)
    is_hard = torch.arange(count) % 4 == 1
    label = torch.where(is_hard, (true + 1) % CLASSES, true)
    return label, feature, is_hard, torch.nn.functional.one_hot(true, CLASSES).float()


def taught(rounds=60, importance=lambda is_hard: is_hard.float() + 0.1, first_seed=0):
    """An exit after rounds of the model being sure of, and right about, the true class."""
    early_exit = EarlyExit(CLASSES, WIDTH)
    for seed in range(first_seed, first_seed + rounds):
        label, feature, is_hard, probability = samples(32, seed)
        early_exit.learn(label, feature, importance(is_hard), probability)
    return early_exit


def residual_square(early_exit, label, feature):
    weight = early_exit.state()["weight"].double()
    probability = (feature.double() @ weight[:, :-1].T + weight[:, -1]).softmax(1)
    return (probability - torch.nn.functional.one_hot(label, CLASSES)).square().sum(1)


def test_untrained_it_gives_every_sample_the_same_size():
    label, feature, _, _ = samples(32, 0)

    assert EarlyExit(CLASSES, WIDTH).size(label, feature).tolist() == [1.0] * 32


def test_it_comes_to_predict_what_the_model_says_of_samples_it_has_not_seen():
    label, feature, is_hard, _ = samples(200, 999)

    square = residual_square(taught(), label, feature)

    assert square[is_hard].min() > 1.5  # of at most 2
    assert square[~is_hard].max() < 0.1


def test_its_steps_end_where_newtons_method_on_the_whole_ends():
    # Without fading, the same data again and again: the end is the logistic regression on them, by another solver.
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(64, WIDTH, generator=generator)
    probability = torch.rand(64, CLASSES, generator=generator).softmax(1)
    label = torch.zeros(64, dtype=torch.int64)
    early_exit = EarlyExit(CLASSES, WIDTH)
    for _ in range(300):
        early_exit.learn(label, feature, torch.ones(64), probability)
    weight = torch.zeros(CLASSES, WIDTH + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss():
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(feature @ weight[:, :-1].T + weight[:, -1], probability)
        value.backward()
        return value

    solver.step(loss)

    found = early_exit.state()["weight"]
    logits = [feature @ w[:, :-1].T + w[:, -1] for w in (found, weight.detach())]
    torch.testing.assert_close(logits[0].softmax(1), logits[1].softmax(1), rtol=0, atol=1e-3)


def test_where_the_bound_on_the_curvature_is_tight_one_round_of_many_samples_is_enough():
    # Two classes about as likely: there the softmax curves as much as it can, and the bounded step is Newton's own.
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(4000, 1, generator=generator)
    likely = (0.5 + 0.05 * feature.clamp(-2, 2)).squeeze(1)
    probability = torch.stack([likely, 1 - likely], dim=1)
    early_exit = EarlyExit(2, 1)

    early_exit.learn(torch.zeros(4000, dtype=torch.int64), feature, torch.ones(4000), probability)

    weight = early_exit.state()["weight"]
    found = (feature @ weight[:, :-1].T + weight[:, -1]).softmax(1)
    assert float((found - probability).square().mean()) < 0.02 * float((probability - 0.5).square().mean())


def test_a_part_of_the_feature_that_is_always_zero_stops_nothing():
    early_exit = EarlyExit(CLASSES, WIDTH + 2)
    for seed in range(30):
        label, feature, is_hard, probability = samples(32, seed)
        early_exit.learn(label, torch.nn.functional.pad(feature, (1, 1)), is_hard + 0.1, probability)

    label, feature, is_hard, _ = samples(200, 999)
    square = residual_square(early_exit, label, torch.nn.functional.pad(feature, (1, 1)))
    assert square[is_hard].min() > square[~is_hard].max()


def test_what_it_remembers_fades_by_round():
    early_exit = EarlyExit(CLASSES, WIDTH)
    moment, count = torch.zeros(WIDTH + 1, WIDTH + 1, dtype=torch.float64), 0.0
    for seed in range(40):
        label, feature, is_hard, probability = samples(16 + seed, seed)
        early_exit.learn(label, feature, is_hard.float(), probability)
        x = torch.nn.functional.pad(feature.double(), (0, 1), value=1.0)
        moment, count = 0.97 * moment + x.T @ x, 0.97 * count + len(x)
    state = {name: tensor.clone() for name, tensor in early_exit.state().items()}

    torch.testing.assert_close(state["moment"].double(), moment, rtol=1e-4, atol=1e-3)
    assert state["samples"].item() == pytest.approx(count)
    early_exit.learn(label, feature, torch.zeros(len(label)), probability)  # adds nothing to sums of squared importance
    torch.testing.assert_close(early_exit.state()["record"][0], 0.98 * state["record"][0])


@pytest.mark.parametrize("seed", range(4))
def test_the_floor_is_the_one_of_least_variance_on_what_was_seen(seed):
    # A new exit's first round: all candidates count the same, and sizes come from weights set by hand.
    early_exit = EarlyExit(CLASSES, WIDTH)
    early_exit.state()["weight"].copy_(taught(20, first_seed=100 * seed).state()["weight"])
    label, feature, _, probability = samples(64, seed)
    e2 = residual_square(early_exit, label, feature).numpy()
    generator = np.random.default_rng(seed)
    g2 = 0.1**seed + e2 * generator.random(64)
    weight = early_exit.state()["weight"].clone()

    early_exit.learn(label, feature, torch.from_numpy(g2).sqrt(), probability)
    early_exit.state()["weight"].copy_(weight)

    sizes = [np.ones(64), *(np.sqrt(floor**2 + e2) for floor in FLOORS)]
    cost = [(g2 / q).sum() * q.sum() for q in sizes]
    best = sizes[int(np.argmin(cost))]
    np.testing.assert_allclose(early_exit.size(label, feature), best / best.mean(), rtol=1e-4)
    assert early_exit.gain == pytest.approx(cost[0] / min(cost), rel=1e-4)


def test_hard_samples_become_larger_once_importance_is_predicted_well():
    early_exit = taught()
    label, feature, is_hard, _ = samples(32, 99)

    size = early_exit.size(label, feature)

    assert early_exit.gain > 2
    assert size[is_hard].mean() > 4 * size[~is_hard].mean()


@pytest.mark.parametrize("seed", range(5))
def test_no_size_is_ever_below_a_hundredth_of_another(seed):
    # Importance that falls to nothing where the exit is sure: it would have none of those at all.
    early_exit = taught(40, lambda is_hard: 100.0 * is_hard, first_seed=100 * seed)
    size = early_exit.size(*samples(400, seed)[:2])

    assert early_exit.gain > 2
    assert size.max() / size.min() < 100
    assert (1 + 2 / FLOORS[-1] ** 2) ** 0.5 < 100, "whichever floor is chosen: e is at most the root of 2"


def test_importance_that_the_feature_cannot_tell_leaves_sizes_nearly_equal():
    generator = torch.Generator().manual_seed(4)
    early_exit = taught(60, lambda is_hard: torch.rand(32, generator=generator))

    assert early_exit.gain < 1.1


def test_an_inverse_relation_gives_the_predictor_no_say():
    early_exit = taught(60, lambda is_hard: (~is_hard).float())
    label, feature, _, _ = samples(32, 99)

    assert early_exit.gain == 1.0
    assert early_exit.size(label, feature).tolist() == [1.0] * 32


def test_samples_that_look_easy_and_matter_raise_the_floor():
    # One of ten that look easy has a large gradient after all.
    surprise = torch.arange(32) % 10 == 0

    def size_ratio(importance):
        label, feature, is_hard, _ = samples(320, 99)
        size = taught(60, importance).size(label, feature)
        return size[is_hard].mean() / size[~is_hard].mean()

    without = size_ratio(lambda is_hard: is_hard + 0.01)
    with_surprises = size_ratio(lambda is_hard: is_hard + 0.01 + surprise)

    assert with_surprises < without / 5


def test_it_learns_nothing_of_sizes_from_importance_of_zero():
    early_exit = taught(5, lambda is_hard: torch.zeros(32))
    label, feature, _, _ = samples(32, 0)

    assert early_exit.gain == 1.0
    assert early_exit.size(label, feature).tolist() == [1.0] * 32


def test_the_choice_is_not_bent_by_having_selected_what_looks_important():
    # The exit that sees candidates kept in proportion to its sizes values each floor as the one that sees all.
    every, chosen = taught(30), taught(30)
    label, feature, _, probability = samples(20_000, 3)
    e2 = residual_square(every, label, feature)
    generator = torch.Generator().manual_seed(0)
    importance = (0.02 + e2 * torch.rand(len(e2), dtype=torch.float64, generator=generator)).sqrt()
    size = every.size(label, feature)
    is_kept = torch.rand(len(size), dtype=torch.float64, generator=generator) < size / size.max()
    chosen.state()["record"].mul_(1e-6)  # the choice stays, what it came from hardly counts any more
    before = chosen.state()["record"].clone()

    chosen.learn(label[is_kept], feature[is_kept], importance[is_kept], probability[is_kept])

    seen = chosen.state()["record"] - 0.98 * before
    q = torch.stack([torch.ones_like(e2), *((floor**2 + e2).sqrt() for floor in FLOORS)], dim=1)
    true = torch.stack([(importance.square().unsqueeze(1) / q).mean(0), q.mean(0)])
    assert seen[1, 0].item() == pytest.approx(int(is_kept.sum())), "a round counts as its candidates"
    torch.testing.assert_close(seen[0] / seen[0, 0], true[0] / true[0, 0], rtol=0.1, atol=0)
    torch.testing.assert_close(seen[1] / seen[1, 0], true[1] / true[1, 0], rtol=0.1, atol=0)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_features_of_any_finite_size_leave_it_sound(scale):
    early_exit = taught(5)
    label, feature, _, probability = samples(32, 1)

    early_exit.learn(label, feature * scale, torch.ones(32), probability)

    assert all(tensor.isfinite().all() for tensor in early_exit.state().values())
    assert early_exit.size(label, feature).isfinite().all()


def test_a_state_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="weight: expected shape"):
        EarlyExit(CLASSES, WIDTH).restore(EarlyExit(CLASSES, WIDTH + 1).state())
