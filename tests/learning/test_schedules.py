"""Schedules against torch's own, which count from 0 and keep a position; ours are functions of the round."""

import pytest
import torch

from titand.errors import ConfigError
from titand.learning.schedules import constant, cosine, step


def rates_of(scheduler_kind, rounds, rate, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = scheduler_kind(optimizer, **options)
    rates = []
    for _ in range(rounds):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_step_is_torchs_step():
    expected = rates_of(torch.optim.lr_scheduler.StepLR, 450, 0.1, step_size=100, gamma=0.95)

    assert [step(0.1)(r) for r in range(1, 451)] == pytest.approx(expected)


def test_cosine_is_torchs_cosine_and_then_stays():
    expected = rates_of(torch.optim.lr_scheduler.CosineAnnealingLR, 81, 0.2, T_max=80, eta_min=0.01)
    schedule = cosine(0.2, rounds=81, floor=0.01)

    assert [schedule(r) for r in range(1, 82)] == pytest.approx(expected)
    assert schedule(82) == schedule(10_000) == pytest.approx(0.01)


def test_constant_is_constant():
    assert {constant(0.3)(r) for r in (1, 2, 1000)} == {0.3}


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: step(0.1, decay=0.0), "decay 0.0"),
        (lambda: step(0.1, decay=1.5), "decay 1.5"),
        (lambda: step(0.1, every=0), "every 0"),
        (lambda: cosine(0.1, rounds=1), "rounds 1"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(make, word):
    with pytest.raises(ConfigError, match=word):
        make()
