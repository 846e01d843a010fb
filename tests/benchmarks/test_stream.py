"""Streams hold every sample once an epoch, in the order they promise, and are a function of the seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.paper import stream
from benchmarks.paper.run import Reservoir

LABEL = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 200))


def take(count, order="shuffled", seed=0, size=100):
    return list(itertools.islice(stream.windows(LABEL, size, order, seed), count))


@pytest.mark.parametrize("order", stream.ORDERS)
def test_an_epoch_holds_every_sample_once(order):
    for epoch in (take(40, order)[:20], take(40, order)[20:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(2000))


@pytest.mark.parametrize("order", stream.ORDERS)
def test_the_seed_alone_decides(order):
    assert np.array_equal(take(30, order, seed=1), take(30, order, seed=1))
    assert not np.array_equal(take(30, order, seed=1), take(30, order, seed=2))


def test_windows_that_straddle_epochs_are_whole():
    windows = take(30, size=150)
    assert {len(each) for each in windows} == {150}
    assert sorted(np.concatenate(windows)[:2000].tolist()) == list(range(2000))


def test_a_window_of_bursts_holds_a_few_classes_and_a_shuffled_one_nearly_all():
    few = [len(np.unique(LABEL[each])) for each in take(20, "bursts")]
    many = [len(np.unique(LABEL[each])) for each in take(20)]
    assert max(few) <= 3
    assert min(many) >= 9


def test_drift_brings_up_one_class_after_the_other():
    windows = take(20, "drift")
    at = [np.mean([np.mean(LABEL[each] == y) for each in windows[2 * y : 2 * y + 2]]) for y in range(1, 9)]
    away = [
        np.mean([np.mean(LABEL[each] == y) for each in take(20, "drift")[2 * y - 8 : 2 * y - 6]]) for y in range(5, 9)
    ]
    assert min(at) > 2 * max(away)


def test_noise_moves_the_share_of_labels_that_is_asked_for_and_each_to_another_class():
    noisy = stream.with_noise(LABEL, 10, 0.2, seed=5)
    moved = noisy != LABEL
    assert moved.sum() == 400
    assert set(np.unique(noisy)) == set(range(10))
    shift = np.bincount((noisy - LABEL)[moved] % 10, minlength=10)
    assert shift[0] == 0
    assert shift[1:].min() > 20  # 44 are expected of each


def test_without_noise_labels_stay():
    assert np.array_equal(stream.with_noise(LABEL, 10, 0.0, seed=5), LABEL)


def test_imbalance_is_geometric_between_the_first_class_and_the_last():
    count = np.bincount(LABEL[stream.imbalanced(LABEL, 10.0, seed=0)])
    assert count.tolist() == [round(200 * 10 ** (-k / 9)) for k in range(10)]


def test_a_reservoir_keeps_every_position_with_the_same_chance():
    kept = np.zeros(60)
    for seed in range(600):
        reservoir = Reservoir(10, seed)
        for part in np.arange(60).reshape(6, 10):
            reservoir.offer(part)
        kept[reservoir.sample(10)] += 1
    chi_square = ((kept - 100) ** 2 / 100).sum() / (1 - 10 / 60)
    assert chi_square < 105  # the 99.98 % quantile for 59 degrees of freedom is 104


def test_an_empty_reservoir_gives_nothing():
    assert len(Reservoir(10, 0).sample(5)) == 0
