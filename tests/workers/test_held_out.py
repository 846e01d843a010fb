"""Samples that are never trained on: chosen by number alone, kept in balance, asked in portions."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titand.learning.evaluation import Evaluation
from titand.runtime.arena import FILLED, FREE, HELD_OUT, RELEASED, Arena, ArenaLayout, create_arena
from titand.workers.held_out import PORTION, HeldOut, is_held_out

CLASSES = 4


def arena_with(labels: list[int]) -> Arena:
    """An arena in which samples of these classes were filled, in the order of their numbers."""
    descriptor = create_arena(ArenaLayout(max(1, len(labels)), 1))
    arena = Arena(descriptor)
    os.close(descriptor)  # the mapping stays
    for slot, label in enumerate(labels):
        arena.number[slot], arena.label[slot], arena.state[slot] = slot + 1, label, FILLED
    return arena


def keeping(arena: Arena, capacity: int, seed: int = 0, rounds: int = 1) -> HeldOut:
    held_out = HeldOut(arena, capacity, CLASSES, random.Random(seed), rounds)
    held_out.after_round()
    return held_out


def kept_by_class(arena: Arena) -> list[int]:
    """How many are kept of each class, by the states alone."""
    kept = [0] * CLASSES
    for slot in arena.slots_in(HELD_OUT):
        kept[arena.label[slot]] += 1
    return kept


@settings(max_examples=30)
@given(st.floats(0, 1))
def test_the_share_is_as_asked_within_chance(ratio):
    count = 10_000
    share = sum(is_held_out(number, ratio) for number in range(1, count + 1)) / count
    assert abs(share - ratio) <= 5 * (ratio * (1 - ratio) / count) ** 0.5 + 1e-9


@given(st.integers(1, 1 << 62), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_samples_and_more(number, one, other):
    low, high = sorted((one, other))
    assert is_held_out(number, low) <= is_held_out(number, high)
    assert not is_held_out(number, 0.0)
    assert is_held_out(number, 1.0)


def test_neighbours_are_held_out_independently():
    """A stream that repeats every n samples must not have the same ones held out each time."""
    for period in (2, 7, 10, 100, 1437):
        shares = [
            sum(is_held_out(number, 0.2) for number in range(start, 50_000, period)) / len(range(start, 50_000, period))
            for start in range(1, 6)
        ]
        allowance = 5 * (0.16 / len(range(1, 50_000, period))) ** 0.5
        assert all(abs(share - 0.2) < allowance for share in shares)


# What splitmix64 gives first when it is seeded with 0.
OUTPUTS = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B]


@pytest.mark.parametrize(("number", "output"), list(enumerate(OUTPUTS, start=1)))
def test_the_choice_is_the_same_in_every_release(number, output):
    """Changing it would train on what was held out before an update."""
    assert not is_held_out(number, output / 2**64 - 1e-9)
    assert is_held_out(number, output / 2**64 + 1e-9)


@given(st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 5))
def test_room_is_shared_among_the_classes_that_arrive(labels, capacity, seed):
    arena = arena_with(labels)
    held_out = keeping(arena, capacity, seed)
    for slot in range(len(labels)):
        held_out.keep(slot)
    kept = kept_by_class(arena)
    arrived = [labels.count(label) for label in range(CLASSES)]
    assert sum(kept) == len(held_out) == min(capacity, len(labels))
    assert arena.slots_in(RELEASED) == [s for s in range(len(labels)) if arena.state[s] != HELD_OUT]
    for label in range(CLASSES):
        # A class has fewer than the fullest only because no more of it have come.
        assert kept[label] >= min(arrived[label], max(kept) - 1)


def test_who_makes_room_is_left_to_chance():
    gone = set()
    for seed in range(40):
        arena = arena_with([0] * 5)
        held_out = keeping(arena, 4, seed)
        for slot in range(5):
            held_out.keep(slot)
        gone.update(arena.slots_in(RELEASED))
    assert gone == set(range(5))


@given(st.integers(10, 100), st.integers(1, 300), st.integers(1, 40))
def test_the_rounds_limit_how_many_are_replaced_whatever_arrives(capacity, rounds, passed):
    many = 20
    arena = arena_with([0] * (capacity + many * passed))
    held_out = HeldOut(arena, capacity, CLASSES, random.Random(0), rounds)
    for slot in range(capacity):
        held_out.keep(slot)
    for round in range(passed):
        held_out.after_round()
        for slot in range(capacity + many * round, capacity + many * (round + 1)):
            held_out.keep(slot)
    new = sum(slot >= capacity for slot in arena.slots_in(HELD_OUT))
    assert len(held_out) == capacity
    assert new <= passed * max(1.0, capacity / rounds)
    if rounds > capacity:
        assert new <= passed * capacity / rounds + 1


def test_a_class_that_comes_late_gets_its_room_at_once():
    arena = arena_with([0] * 10 + [1] * 10)
    held_out = HeldOut(arena, 10, CLASSES, random.Random(0), rounds=1_000_000)
    for slot in range(20):
        held_out.keep(slot)
    assert kept_by_class(arena) == [5, 5, 0, 0]
    assert {slot for slot in arena.slots_in(HELD_OUT) if slot >= 10} == {10, 11, 12, 13, 14}


def test_a_successor_takes_over_what_is_there():
    arena = arena_with([0, 1, 1, 2])
    first = keeping(arena, 10)
    for slot in (0, 1, 3):
        first.keep(slot)
    second = keeping(arena, 3)
    assert len(second) == 3
    second.keep(2)
    assert sum(kept_by_class(arena)) == 3
    assert kept_by_class(arena)[1] == 1


class Answers:
    """A model that answers whatever it is asked, and remembers what that was."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, slots):
        self.asked.append(list(slots))
        counts = [0] * CLASSES
        counts[0] = len(slots)
        return Evaluation(tuple(counts), (1, 0, 0, 0), 0.5 * len(slots))


def swept(held_out: HeldOut, answers: Answers, version: int = 7) -> int:
    held_out.begin_sweep()
    portions = 0
    while held_out.is_sweeping:
        held_out.ask_portion(answers, version)
        portions += 1
    return portions


@pytest.mark.parametrize("count", [1, PORTION - 1, PORTION, PORTION + 1, 3 * PORTION])
def test_a_sweep_asks_every_sample_once_in_portions(count):
    arena = arena_with([slot % CLASSES for slot in range(count)])
    held_out, answers = keeping(arena, count), Answers()
    for slot in range(count):
        held_out.keep(slot)
    portions = swept(held_out, answers)
    assert portions == -(-count // PORTION)
    assert all(len(portion) <= PORTION for portion in answers.asked)
    assert sorted(slot for portion in answers.asked for slot in portion) == list(range(count))
    assert held_out.latest.version == 7
    assert held_out.latest.result.sample_count == count
    assert held_out.latest.result.correct_counts == (portions, 0, 0, 0)
    assert held_out.latest.result.loss == 0.5


def test_a_sample_that_was_released_in_the_middle_of_a_sweep_is_not_asked():
    count = PORTION + 4
    arena = arena_with([0] * count)
    held_out, answers = keeping(arena, count), Answers()
    for slot in range(count):
        held_out.keep(slot)
    held_out.begin_sweep()
    held_out.ask_portion(answers, 1)
    gone = [slot for slot in range(count) if slot not in answers.asked[0]][:2]
    arena.state[gone[0]], arena.state[gone[1]] = RELEASED, FREE
    held_out.ask_portion(answers, 1)
    assert held_out.latest.result.sample_count == count - 2
    assert not set(gone) & {slot for portion in answers.asked for slot in portion}


def test_a_sweep_over_nothing_finds_nothing():
    held_out = keeping(arena_with([0]), 5)
    assert swept(held_out, Answers()) == 0
    assert held_out.latest is None
