"""The arena: what one process writes, another one reads, wherever it lies."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.arenas import new_arena
from titand.runtime.arena import (
    CANDIDATE,
    ENDED,
    EVICTED,
    FILLED,
    FILTERED,
    FREE,
    HELD_OUT,
    INVALID,
    RELEASED,
    SELECTED,
    TRAINED,
    Arena,
    ArenaLayout,
    create_arena,
    recover_slots,
)

LAYOUT = ArenaLayout(slot_count=7, sample_bytes=5)
COLUMNS = ("state", "number", "label", "round", "observed_ns", "accepted_ns", "data", "counters", "streams", "fates")


@given(st.integers(1, 300), st.integers(1, 300))
def test_no_two_columns_overlap(slot_count, sample_bytes):
    arena = new_arena(slot_count, sample_bytes)
    for value, name in enumerate(COLUMNS, 1):
        column = getattr(arena, name)
        column.cast("B")[:] = bytes([value]) * column.nbytes
    for value, name in enumerate(COLUMNS, 1):
        assert set(getattr(arena, name).cast("B")) == {value}


def test_another_process_view_has_the_same_layout_and_contents():
    descriptor = create_arena(LAYOUT)
    one, other = Arena(descriptor), Arena(descriptor)
    os.close(descriptor)
    one.label[3] = -4
    one.sample(3)[:] = b"hello"
    assert other.layout == LAYOUT
    assert (other.label[3], bytes(other.sample(3)), bytes(other.data[15:20])) == (-4, b"hello", b"hello")
    assert other.memory[other.data_offset + 15 : other.data_offset + 20] == b"hello"


def test_memory_that_is_no_arena_is_refused():
    descriptor = os.memfd_create("other")
    os.pwrite(descriptor, bytes(4096), 0)
    with pytest.raises(ValueError, match="not an arena"):
        Arena(descriptor)
    os.close(descriptor)


@given(st.lists(st.sampled_from([FREE, FILLED, TRAINED]), min_size=7, max_size=7), st.integers(0, 7))
def test_the_first_free_slot_is_found(states, start):
    arena = new_arena(7, 5)
    arena.state[:] = bytes(states)
    expected = next((slot for slot in range(start, 7) if states[slot] == FREE), -1)
    assert arena.find_free(start) == expected


def test_slots_of_a_state_come_oldest_sample_first():
    arena = new_arena(7, 5)
    for slot, (state, number) in enumerate([(FILLED, 9), (CANDIDATE, 1), (FILLED, 4), (FREE, 2), (FILLED, 7)]):
        arena.state[slot], arena.number[slot] = state, number
    assert arena.slots_in(FILLED) == [2, 4, 0]


def test_ended_are_just_the_states_that_the_front_takes_back():
    states = (FREE, FILLED, CANDIDATE, SELECTED, HELD_OUT, FILTERED, EVICTED, TRAINED, RELEASED, INVALID)
    ended = [state for state in states if ENDED.fullmatch(bytes([state]))]
    assert ended == [FILTERED, EVICTED, TRAINED, RELEASED, INVALID]


def test_samples_of_dead_workers_are_filtered_again_unless_they_were_trained_on():
    arena = new_arena(7, 5)
    for slot, (state, round) in enumerate([(CANDIDATE, 0), (SELECTED, 4), (SELECTED, 5), (HELD_OUT, 0), (FILLED, 0)]):
        arena.state[slot], arena.round[slot] = state, round
    assert recover_slots(arena, completed_round=4) == 2
    assert list(arena.state[:5]) == [FILLED, TRAINED, FILLED, HELD_OUT, FILLED]


@pytest.mark.parametrize(
    ("arena_bytes", "sample_bytes", "expected"), [(1000, 10, 100), (10, 10, 8), (10**9, 10, 500), (0, 1, 8)]
)
def test_the_layout_fits_the_memory_between_its_bounds(arena_bytes, sample_bytes, expected):
    assert ArenaLayout.fitting(arena_bytes, sample_bytes, least=8, most=500).slot_count == expected
