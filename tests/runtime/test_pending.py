"""How long a label is waited for, whatever happens to the clocks, and who gives way when too many wait."""

from __future__ import annotations

from tests.arenas import new_arena
from titand.runtime.arena import EXPIRED, PENDING_LABEL, Arena
from titand.runtime.pending import PendingLabels

SECOND = 10**9


class Clocks:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 500 * SECOND, 10**18

    def monotonic_ns(self) -> int:
        return self.monotonic

    def wall_ns(self) -> int:
        return self.wall

    def pass_by(self, seconds: float) -> None:
        self.monotonic += int(seconds * SECOND)
        self.wall += int(seconds * SECOND)


def waiting_in(arena: Arena, clocks: Clocks, count: int, capacity: int = 10) -> PendingLabels:
    """So many samples that begin to wait now."""
    pending = PendingLabels(arena, capacity, clocks)
    for slot in range(count):
        arena.number[slot], arena.accepted_ns[slot], arena.state[slot] = slot + 1, clocks.wall, PENDING_LABEL
    pending.add([(0, count)])
    return pending


def test_a_label_is_waited_for_as_long_as_patience_lasts_and_no_longer():
    clocks, arena = Clocks(), new_arena(8, 1)
    pending = waiting_in(arena, clocks, 2)
    clocks.pass_by(60)
    assert pending.expire(60.0) == 0
    clocks.pass_by(1)
    assert pending.expire(60.0) == 2
    assert arena.slots_in(EXPIRED) == [0, 1]
    assert pending.join(1, 0) is False
    assert pending.expire(60.0) == 0


def test_setting_the_time_of_day_ends_no_wait_and_prolongs_none():
    for jump in (-(10**18), 10**17):
        clocks, arena = Clocks(), new_arena(8, 1)
        pending = waiting_in(arena, clocks, 1)
        clocks.wall += jump
        clocks.pass_by(59)
        assert pending.expire(60.0) == 0
        clocks.pass_by(2)
        assert pending.expire(60.0) == 1


def test_a_successor_goes_on_counting_by_the_time_of_day():
    clocks, arena = Clocks(), new_arena(8, 1)
    waiting_in(arena, clocks, 1)
    clocks.pass_by(40)
    clocks.monotonic = 3  # the machine was started anew
    successor = PendingLabels(arena, 10, clocks)
    clocks.pass_by(19)
    assert successor.expire(60.0) == 0
    clocks.pass_by(2)
    assert successor.expire(60.0) == 1


def test_where_the_time_was_set_back_the_wait_begins_anew_and_does_end():
    clocks, arena = Clocks(), new_arena(8, 1)
    waiting_in(arena, clocks, 1)
    clocks.wall -= 10**17
    successor = PendingLabels(arena, 10, clocks)
    clocks.pass_by(59)
    assert successor.expire(60.0) == 0
    clocks.pass_by(2)
    assert successor.expire(60.0) == 1


def test_where_too_many_wait_the_oldest_give_way():
    clocks, arena = Clocks(), new_arena(8, 1)
    pending = waiting_in(arena, clocks, 5, capacity=3)
    assert pending.trim() == 2
    assert arena.slots_in(EXPIRED) == [0, 1]
    assert len(pending) == 3
    assert pending.trim() == 0


def test_a_label_is_joined_once():
    clocks, arena = Clocks(), new_arena(8, 1)
    pending = waiting_in(arena, clocks, 2)
    assert [pending.join(2, 7), pending.join(2, 8), pending.join(3, 7)] == [True, False, False]
    assert arena.label[1] == 7
