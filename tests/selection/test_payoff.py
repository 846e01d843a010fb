"""When selection rests, and when it is tried again."""

import math

import pytest

from titand.selection.control_arm import Interval
from titand.selection.payoff import Mode, Payoff

WORSE = Interval(-0.2, 0.1, 100)
DOUBT = Interval(-0.1, 0.2, 100)
BETTER = Interval(0.2, 0.1, 100)


def after(payoff: Payoff, rounds: int, control: Interval | None, ratio: Interval | None = None) -> list[int]:
    """Return the rounds after which the mode changed."""
    return [round for round in range(1, rounds + 1) if payoff.after_round(control, ratio)]


def test_it_rests_once_the_horizon_says_worse_beyond_doubt():
    payoff = Payoff(horizon_rounds=50, rest_rounds=500)

    assert after(payoff, 60, WORSE) == [50]
    assert payoff.mode is Mode.RESTING
    assert payoff.reason.code == "CONTROL_ARM_WINS"


def test_doubt_and_ignorance_keep_it_on():
    payoff = Payoff(horizon_rounds=50, rest_rounds=500)

    assert after(payoff, 200, DOUBT) == []
    assert after(payoff, 200, None, Interval(0.05, 0.1, 100)) == []
    assert after(payoff, 200, None, Interval(-0.05, 0.1, 100)) == []
    assert after(payoff, 200, None) == []
    assert payoff.mode is Mode.SELECTING


def test_a_variance_that_is_not_lowered_is_reason_enough():
    payoff = Payoff(horizon_rounds=50, rest_rounds=500)

    assert after(payoff, 60, BETTER, Interval(math.log(0.9), math.log(1.05), 100)) == [50]
    assert payoff.reason.code == "VARIANCE_NOT_LOWERED"
    assert "0.9 times as much (0.857 to 0.945) over 100 rounds" in payoff.reason.message


def test_it_is_tried_again_after_the_rest_and_judged_anew():
    payoff = Payoff(horizon_rounds=50, rest_rounds=500)
    after(payoff, 50, WORSE)

    assert after(payoff, 500, WORSE) == [500]
    assert payoff.mode is Mode.SELECTING
    assert payoff.reason.code == "TRYING_AGAIN"
    assert after(payoff, 49, WORSE) == []
    assert after(payoff, 1, WORSE) == [1]


@pytest.mark.parametrize(("rounds", "left"), [(30, 20), (50, 500), (349, 201)])
def test_what_is_restored_counts_on_from_where_it_was(rounds, left):
    first = Payoff(horizon_rounds=50, rest_rounds=500)
    after(first, rounds, WORSE)
    successor = Payoff(horizon_rounds=50, rest_rounds=500)
    successor.restore(first.to_plain())

    assert (successor.mode, successor.reason) == (first.mode, first.reason)
    assert after(successor, left, WORSE) == [left]


def test_without_a_horizon_it_never_rests():
    assert after(Payoff(horizon_rounds=0, rest_rounds=500), 1000, WORSE) == []
