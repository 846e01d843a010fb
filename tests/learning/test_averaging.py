"""The average of a model's values, against its recursion written out in plain numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from titand.learning.averaging import PREFIX, Average, averaged, served_names


def follow(values, decay):
    """The average of a number that takes these values, the first one before round 1."""
    average = values[0]
    for round, value in enumerate(values[1:], 1):
        d = min(decay, (1 + round) / (10 + round))
        average = d * average + (1 - d) * value
    return average


@pytest.mark.parametrize("decay", [0.1, 0.9, 0.995])
def test_the_average_follows_its_recursion(decay):
    model = nn.Linear(1, 1)
    values = [math.sin(number) for number in range(60)]
    nn.init.constant_(model.weight, values[0])
    average = Average(model, decay)
    for round, value in enumerate(values[1:], 1):
        nn.init.constant_(model.weight, value)
        average.follow(round)
    assert float(average.tensors[PREFIX + "weight"]) == pytest.approx(follow(values, decay), abs=1e-5)


def test_what_stands_still_is_its_average():
    model = nn.Linear(3, 2)
    average = Average(model, 0.9)
    for round in range(1, 20):
        average.follow(round)
    assert torch.allclose(average.tensors[PREFIX + "weight"], model.weight)


def test_statistics_are_averaged_and_counts_are_served_as_they_are():
    model = nn.BatchNorm1d(2)
    average = Average(model, 0.9)
    assert set(average.tensors) == set(averaged(model))
    names = served_names(model, average.tensors)
    assert names["running_mean"] == PREFIX + "running_mean"
    assert names["num_batches_tracked"] == "num_batches_tracked"
    assert list(names) == list(model.state_dict())


def test_without_averages_the_latest_values_are_served():
    model = nn.Linear(2, 2)
    assert served_names(model, model.state_dict()) == {"weight": "weight", "bias": "bias"}
