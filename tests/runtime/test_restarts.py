"""When a process that ended is started again: pure arithmetic on a clock that the test moves."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.runtime.restarts import DELAYS_SECONDS, STEADY_SECONDS, Restarts, describe_exit

SECOND = 1_000_000_000


def after_failures(count: int, each_lived: float = 1.0) -> tuple[Restarts, int]:
    """The history of a process that ended so many times, each time after the same life; and the time."""
    restarts, now = Restarts(due_ns=0), 0
    for _ in range(count):
        now = max(now, restarts.due_ns)
        restarts.started(now)
        now += int(each_lived * SECOND)
        restarts.ended(now, "exit status 1")
    return restarts, now


def test_a_process_is_due_once_and_not_while_it_runs():
    restarts = Restarts(due_ns=5)
    assert not restarts.is_due(4)
    assert restarts.is_due(5)
    restarts.started(5)
    assert not restarts.is_due(10**18)


def test_the_first_end_costs_no_time():
    restarts, now = after_failures(1)
    assert restarts.is_due(now)
    assert (restarts.count, restarts.last_exit) == (1, "exit status 1")


def test_waits_grow_to_half_a_minute_and_no_further():
    waits = []
    for count in range(1, 12):
        restarts, now = after_failures(count)
        assert not restarts.is_due(restarts.due_ns - 1)
        waits.append((restarts.due_ns - now) / SECOND)
    assert waits[: len(DELAYS_SECONDS)] == list(DELAYS_SECONDS)
    assert set(waits[len(DELAYS_SECONDS) :]) == {30.0}
    assert waits == sorted(waits)


@given(st.integers(1, 20), st.floats(0.01, 100.0))
def test_no_wait_is_longer_than_the_longest_that_is_allowed(count, longest):
    restarts, now = after_failures(count - 1)
    restarts.longest_seconds = longest
    restarts.ended(now, "exit status 1")
    expected = min(longest, [0.0, 0.2, 1.0, 3.0, 10.0, 30.0][min(count, 6) - 1])
    assert (restarts.due_ns - now) / SECOND == pytest.approx(expected)


@given(st.integers(1, 50))
def test_it_is_never_given_up(count):
    restarts, now = after_failures(count)
    assert restarts.is_due(now + 30 * SECOND)


def test_a_long_life_makes_up_for_earlier_failures():
    restarts, now = after_failures(6)
    restarts.started(restarts.due_ns)
    now = restarts.started_ns + int(STEADY_SECONDS * SECOND) + 1
    restarts.ended(now, "killed by SIGKILL")
    assert restarts.is_due(now)
    assert not restarts.is_looping(now)
    assert restarts.count == 7


def test_what_keeps_ending_is_called_a_loop_until_it_has_lived_for_a_while():
    assert [after_failures(n)[0].is_looping(after_failures(n)[1]) for n in range(6)] == [False] * 4 + [True] * 2
    restarts, now = after_failures(5)
    assert restarts.is_looping(now + 3600 * SECOND)  # still waiting to be started
    restarts.started(now)
    assert restarts.is_looping(now + int(STEADY_SECONDS * SECOND))
    assert not restarts.is_looping(now + int(STEADY_SECONDS * SECOND) + 1)


def test_what_fails_the_same_way_each_time_is_left_alone():
    restarts, now = after_failures(1)
    restarts.gave_up()
    assert not restarts.is_due(now + 10**18)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended by itself"),
        (78, "exit status 78"),
        *[(-number, f"killed by {number.name}") for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGILL)],
        (-63, "killed by signal 63"),
    ],
)
def test_an_exit_code_is_put_into_words(code, words):
    assert describe_exit(code) == words
