import pytest
import torch

from titand.selection.early_exit import EarlyExit

CLASSES, WIDTH = 4, 6


def samples(count, seed):
    """Class means far apart, half of the samples near their mean and half of them mislabelled."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(0, CLASSES, (count,), generator=generator)
    feature = torch.nn.functional.one_hot(true, WIDTH) * 3.0
    feature += 0.1 * torch.randn(count, WIDTH, generator=generator)
    is_hard = torch.arange(count) % 2 == 1
    return torch.where(is_hard, (true + 1) % CLASSES, true), feature, is_hard


def test_untrained_it_gives_every_sample_the_same_size():
    label, feature, _ = samples(32, 0)

    assert EarlyExit(CLASSES, WIDTH).size(label, feature).tolist() == [1.0] * 32


def test_the_trust_is_the_correlation_between_prediction_and_importance():
    early_exit = EarlyExit(CLASSES, WIDTH)
    early_exit.learn(*samples(32, 0)[:2], torch.ones(32))  # predictions differ from now on
    label, feature, _ = samples(64, 1)
    weight = early_exit.state()["weight"]
    predicted = (feature @ weight[:, :-1].T + weight[:, -1]).softmax(1)
    predicted = (predicted - torch.nn.functional.one_hot(label, CLASSES)).norm(dim=1)
    noise = torch.randn(64, generator=torch.Generator().manual_seed(2))
    importance = 1 + predicted + predicted.std() * noise
    early_exit.state()["record"].zero_()

    early_exit.learn(label, feature, importance)

    expected = torch.corrcoef(torch.stack([predicted, importance]))[0, 1].item()
    assert 0.05 < expected < 0.8
    assert early_exit.trust == pytest.approx(expected, rel=1e-4)


def test_hard_samples_become_larger_once_importance_is_predicted_well():
    early_exit = EarlyExit(CLASSES, WIDTH)
    for seed in range(60):
        label, feature, is_hard = samples(32, seed)
        # Three of four are labelled rightly, so that there is something to learn.
        label = torch.where(is_hard & (torch.arange(32) % 4 == 1), (label - 1) % CLASSES, label)
        is_hard &= torch.arange(32) % 4 != 1
        early_exit.learn(label, feature, is_hard.float() + 0.1)

    size = early_exit.size(label, feature)

    assert early_exit.trust > 0.5
    assert size[is_hard].mean() > 2 * size[~is_hard].mean()
    assert size.min() >= 1 - early_exit.trust


def test_importance_that_the_feature_cannot_tell_leaves_it_without_a_say():
    early_exit = EarlyExit(CLASSES, WIDTH)
    generator = torch.Generator().manual_seed(4)
    trust = []
    for seed in range(60):
        label, feature, _ = samples(32, seed)
        early_exit.learn(label, feature, torch.rand(32, generator=generator))
        trust.append(early_exit.trust)

    assert sum(trust[20:]) / 40 < 0.15  # ten rounds of 32: a correlation by chance of about 0.06


def test_an_inverse_relation_is_not_turned_around():
    early_exit = EarlyExit(CLASSES, WIDTH)
    for seed in range(20):
        label, feature, is_hard = samples(32, seed)
        early_exit.learn(label[~is_hard], feature[~is_hard], torch.ones(16))
    label, feature, is_hard = samples(32, 99)
    early_exit.state()["record"].zero_()

    early_exit.learn(label, feature, (~is_hard).float())

    assert early_exit.trust == 0.0


def test_sizes_average_one():
    early_exit = EarlyExit(CLASSES, WIDTH)
    for seed in range(40):
        label, feature, is_hard = samples(32, seed)
        early_exit.learn(label, feature, is_hard.float())
        size = early_exit.size(label, feature)

    assert size.mean().item() == pytest.approx(1, abs=0.05)


def test_a_state_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="weight: expected shape"):
        EarlyExit(CLASSES, WIDTH).restore(EarlyExit(CLASSES, WIDTH + 1).state())
