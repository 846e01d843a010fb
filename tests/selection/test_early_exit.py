import numpy as np
import pytest
import torch

from titand.selection.early_exit import EarlyExit

CLASSES, WIDTH = 4, 6


def samples(count, seed):
    """Class means far apart; one sample of four has the label of the next class."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(0, CLASSES, (count,), generator=generator)
    feature = torch.nn.functional.one_hot(true, WIDTH) * 3.0
    feature += 0.1 * torch.randn(count, WIDTH, generator=generator)
    is_hard = torch.arange(count) % 4 == 1
    return torch.where(is_hard, (true + 1) % CLASSES, true), feature, is_hard


def test_untrained_it_gives_every_sample_the_same_size():
    label, feature, _ = samples(32, 0)

    assert EarlyExit(CLASSES, WIDTH).size(label, feature).tolist() == [1.0] * 32


def test_sizes_are_the_least_squares_line_of_squared_importance():
    early_exit = EarlyExit(CLASSES, WIDTH)
    early_exit.learn(*samples(32, 0)[:2], torch.ones(32))  # predictions differ from now on
    label, feature, _ = samples(64, 1)
    weight = early_exit.state()["weight"].double()
    probability = (feature.double() @ weight[:, :-1].T + weight[:, -1]).softmax(1)
    e2 = (probability - torch.nn.functional.one_hot(label, CLASSES)).square().sum(1)
    noise = torch.rand(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    g2 = 1 + e2 + e2.std() * noise
    early_exit.state()["record"].zero_()

    early_exit.learn(label, feature, g2.sqrt())
    early_exit.state()["weight"].copy_(weight)  # as it was when these were predicted

    slope, offset = np.polyfit(e2.numpy(), g2.numpy(), 1)
    assert 0 < early_exit.trust < 0.96
    expected = (offset + slope * e2) / g2.mean()
    torch.testing.assert_close(early_exit.size(label, feature).square(), expected, rtol=1e-4, atol=0)


def test_hard_samples_become_larger_once_importance_is_predicted_well():
    early_exit = EarlyExit(CLASSES, WIDTH)
    for seed in range(60):
        label, feature, is_hard = samples(32, seed)
        early_exit.learn(label, feature, is_hard.float() + 0.1)

    size = early_exit.size(label, feature)

    assert early_exit.trust > 0.5
    assert size[is_hard].mean() > 2 * size[~is_hard].mean()


@pytest.mark.parametrize("seed", range(5))
def test_no_size_is_ever_below_a_fifth(seed):
    # Importance that falls to nothing where the exit is sure: the line then asks for sizes below zero.
    early_exit = EarlyExit(CLASSES, WIDTH)
    for number in range(40):
        label, feature, is_hard = samples(32, 100 * seed + number)
        early_exit.learn(label, feature, 100.0 * is_hard)

    assert early_exit.trust > 0.5
    assert early_exit.size(label, feature).min() >= 0.2 - 1e-9


def test_importance_that_the_feature_cannot_tell_leaves_it_without_a_say():
    early_exit = EarlyExit(CLASSES, WIDTH)
    generator = torch.Generator().manual_seed(4)
    trust = []
    for seed in range(60):
        label, feature, _ = samples(32, seed)
        early_exit.learn(label, feature, torch.rand(32, generator=generator))
        trust.append(early_exit.trust)

    assert sum(trust[20:]) / 40 < 0.1


def test_an_inverse_relation_is_not_turned_around():
    early_exit = EarlyExit(CLASSES, WIDTH)
    for seed in range(20):
        label, feature, is_hard = samples(32, seed)
        early_exit.learn(label[~is_hard], feature[~is_hard], torch.ones(24))
    label, feature, is_hard = samples(32, 99)
    early_exit.state()["record"].zero_()

    early_exit.learn(label, feature, (~is_hard).float())

    assert early_exit.trust == 0.0


def test_it_learns_nothing_from_importance_of_zero():
    early_exit = EarlyExit(CLASSES, WIDTH)
    label, feature, _ = samples(32, 0)
    early_exit.learn(label, feature, torch.zeros(32))

    assert early_exit.trust == 0.0
    assert early_exit.size(label, feature).tolist() == [1.0] * 32


def test_the_line_is_not_bent_by_selecting_what_looks_important():
    # Candidates are the samples that the exit calls hard; the share that it may claim must stay the same.
    generator = torch.Generator().manual_seed(0)
    every, chosen = EarlyExit(CLASSES, WIDTH), EarlyExit(CLASSES, WIDTH)
    label, feature, _ = samples(4000, 3)
    for early_exit in (every, chosen):
        early_exit.learn(*samples(32, 0)[:2], torch.ones(32))
        early_exit.state()["record"].zero_()
    e2 = every._residual(label, feature).square().sum(1)
    importance = (0.5 + e2 + 0.2 * torch.randn(4000, generator=generator)).clamp(min=0).sqrt()
    is_kept = torch.rand(4000, generator=generator) < e2 / e2.max()

    every.learn(label, feature, importance)
    chosen.learn(label[is_kept], feature[is_kept], importance[is_kept])

    one, other = every.size(label, feature), chosen.size(label, feature)
    torch.testing.assert_close(one / one.mean(), other / other.mean(), rtol=0.1, atol=0)


def test_a_state_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="weight: expected shape"):
        EarlyExit(CLASSES, WIDTH).restore(EarlyExit(CLASSES, WIDTH + 1).state())
