"""Schedules against torch's own, which count from 0 and keep a position; ours are functions of the round."""

import pytest
import torch

from titand.errors import ConfigError
from titand.learning.schedules import build_schedule, constant, cosine, step


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


def test_a_schedule_is_built_by_name():
    assert build_schedule("step", 0.1, decay=0.5, every=2)(3) == 0.05
    assert build_schedule("constant", 0.1)(3) == 0.1
    assert build_schedule("cosine", 0.1, rounds=3)(3) == 0.0


@pytest.mark.parametrize(
    ("name", "rate", "options", "word"),
    [
        ("steps", 0.1, {}, "'step'"),
        ("step", 0.1, {"decays": 0.9}, "decays"),
        ("step", 0.1, {"decay": 0.0}, "decay 0.0"),
        ("step", 0.1, {"decay": 1.5}, "decay 1.5"),
        ("step", 0.1, {"every": 0}, "every 0"),
        ("cosine", 0.1, {"rounds": 1}, "rounds 1"),
        ("cosine", 0.1, {}, "rounds"),
        ("constant", 0.0, {}, "rate 0.0"),
        ("constant", float("nan"), {}, "rate nan"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(name, rate, options, word):
    with pytest.raises(ConfigError, match=word):
        build_schedule(name, rate, **options)
