import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from titand.selection.class_stats import ClassStatistics


def stream(seed, rounds=4, batches=3, size=6, class_count=3, width=5):
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield [
            (rng.integers(0, class_count, size), rng.normal(3, 2, (size, width)).astype(np.float32))
            for _ in range(batches)
        ]


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
def test_means_are_those_of_all_samples_weighted_by_age(decay):
    statistics = ClassStatistics(3, 5, decay)
    label, feature, age = [], [], []
    for number, batches in enumerate(stream(0)):
        for y, f in batches:
            statistics.update(torch.from_numpy(y), torch.from_numpy(f))
            label.append(y), feature.append(f), age.append(np.full(len(y), 3 - number))
        if number < 3:
            statistics.age()

    label, feature, age = (np.concatenate(part) for part in (label, feature.copy(), age))
    for y in range(3):
        own, weight = feature[label == y].astype(np.float64), decay ** age[label == y]
        np.testing.assert_allclose(statistics.mean[y], np.average(own, axis=0, weights=weight), rtol=1e-5)
        np.testing.assert_allclose(statistics.mean_square[y], np.average((own**2).sum(1), weights=weight), rtol=1e-6)
        np.testing.assert_allclose(statistics.weight[y], weight.sum(), rtol=1e-12)


def test_the_split_into_micro_batches_does_not_matter():
    label, feature = torch.arange(12) % 3, torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    whole, parts = ClassStatistics(3, 5), ClassStatistics(3, 5)

    whole.update(label, feature)
    for i in range(12):
        parts.update(label[i : i + 1], feature[i : i + 1])

    torch.testing.assert_close(whole.mean, parts.mean)
    torch.testing.assert_close(whole.mean_square, parts.mean_square)


def test_a_large_common_offset_does_not_drown_the_mean():
    # A plain sum of a hundred thousand such values would have lost the third decimal in float32.
    statistics = ClassStatistics(1, 1, decay=1.0)
    for _ in range(1000):
        statistics.update(torch.zeros(100, dtype=torch.int64), torch.tensor([[1000.0], [1000.25]] * 50))

    assert statistics.mean.item() == pytest.approx(1000.125, abs=2e-4)


def of_one_batch(seed, size):
    """Labels, features, and the statistics of a stream that had no others."""
    (batch,) = stream(seed, rounds=1, batches=1, size=size)
    label, feature = (torch.from_numpy(part) for part in batch[0])
    statistics = ClassStatistics(3, 5, decay=1.0)
    statistics.update(label, feature)
    return label, feature, statistics


@given(st.integers(0, 1000))
def test_diversity_is_the_mean_squared_distance_to_the_class(seed):
    label, feature, statistics = of_one_batch(seed, size=9)

    diversity = statistics.diversity(label, feature)

    for i, y in enumerate(label.tolist()):
        distance = torch.cdist(feature[i : i + 1].double(), feature[label == y].double()).square().mean()
        assert diversity[i].item() == pytest.approx(distance.item(), rel=1e-4, abs=1e-4)


@given(st.integers(0, 1000))
def test_representativeness_and_diversity_cancel_within_a_class(seed):
    label, feature, statistics = of_one_batch(seed, size=40)

    score = statistics.representativeness(label, feature) + statistics.diversity(label, feature)

    for y in range(3):
        own = feature[label == y].double()
        class_variance = (own - own.mean(0)).square().sum(1).mean()
        torch.testing.assert_close(score[label == y], class_variance.expand(len(own)), rtol=1e-4, atol=1e-4)


def test_the_sample_at_the_centroid_is_the_most_representative():
    statistics = ClassStatistics(1, 2)
    label = torch.zeros(3, dtype=torch.int64)
    feature = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    statistics.update(label, feature)

    assert statistics.representativeness(label, feature).tolist() == [-2.0, 0.0, -2.0]


def test_a_class_never_seen_stays_at_zero():
    statistics = ClassStatistics(4, 2)
    statistics.update(torch.tensor([1]), torch.tensor([[3.0, 4.0]]))
    statistics.age()

    assert statistics.weight.tolist() == [0.0, 0.9, 0.0, 0.0]
    assert statistics.mean_square.tolist() == [0.0, 25.0, 0.0, 0.0]


def test_a_state_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"mean: expected shape \(3, 5\), got \(3, 6\)"):
        ClassStatistics(3, 5).restore(ClassStatistics(3, 6).state())


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.01, float("nan")])
def test_a_decay_outside_the_unit_interval_is_refused(decay):
    with pytest.raises(ValueError, match="decay"):
        ClassStatistics(3, 5, decay)
