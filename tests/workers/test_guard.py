"""The guard around a real trainer: when it compares, what it takes for a fault, and that it may only tell."""

from __future__ import annotations

import dataclasses
import math

from tests.workers.guarded import BAD, GOOD, batch_of, equal, guard_of, model_of, promoted, spoil, teach
from titand.config import GuardConfig
from titand.records import Batch


def test_it_is_due_so_many_rounds_after_the_last_and_not_at_all_when_switched_off(home):
    teach(home, 4)
    assert not home.guard.is_due
    teach(home, 1)
    assert home.guard.is_due
    home.guard.look()
    assert not home.guard.is_due
    teach(home, 5)
    assert home.guard.is_due
    home.guard.config = GuardConfig(every_rounds=0)
    assert not home.guard.is_due


def test_updates_that_are_not_finite_roll_back_and_cut_the_rate(home):
    teach(home, 30)
    good = model_of(home, home.trainer.state())
    promoted(home)
    teach(home, 3)
    batch = batch_of(home, 34)
    assert [home.guard.watch(batch, BAD) for _ in range(3)] == [False, False, True]
    assert equal(model_of(home, home.trainer.state()), good)
    assert home.guard.to_plain()["last"]["reason"] == "UPDATES_NOT_FINITE"
    assert home.trainer.rate_factor == 0.5
    guard_of(home, home.guard.to_plain())
    assert home.trainer.rate_factor == 0.5
    assert [home.guard.watch(batch, step) for step in (BAD, BAD, GOOD, BAD, BAD)] == [False] * 5


def test_a_loss_above_twice_a_blind_guess_is_waited_out_for_a_while(home):
    promoted(home)
    batch, high = batch_of(home, 1), dataclasses.replace(GOOD, plain_loss=2.1 * math.log(3))
    assert not any(home.guard.watch(batch, high) for _ in range(49))
    assert not home.guard.watch(batch, dataclasses.replace(GOOD, plain_loss=1.9 * math.log(3)))
    assert [home.guard.watch(batch, high) for _ in range(50)] == [False] * 49 + [True]
    assert home.guard.to_plain()["last"]["reason"] == "LOSS_DIVERGED"


def test_samples_that_cannot_be_scored_are_not_held_against_good_parameters(home):
    teach(home, 5)
    promoted(home)
    empty = Batch(6, (), (), 4)
    assert not any(home.guard.watch(empty, BAD) for _ in range(10))
    for view in model_of_views(home):
        view.fill_(1e30)
    assert [home.guard.watch(empty, BAD) for _ in range(3)][-1]


def model_of_views(pair):
    views = pair.layout.views(pair.board.slot(pair.trainer.version))
    return [view for name, view in views.items() if name.endswith("weight")]


def test_it_only_tells_when_it_may_not_roll_back(home):
    home.guard.config = GuardConfig(rollback_limit=0)
    teach(home, 30)
    promoted(home)
    spoil(home)
    before = bytes(home.trainer.state())
    assert not home.guard.fail(home.guard.look())
    assert not any(home.guard.watch(batch_of(home, 31), BAD) for _ in range(5))
    assert bytes(home.trainer.state()) == before
    assert [item["code"] for item in home.guard.health()] == ["GATE_FAILED"]
