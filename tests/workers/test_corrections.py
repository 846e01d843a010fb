"""A label that is said to be corrected is trained with, scored with and measured with; any other is too late."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from tests.workers.pair import CLASSES, SHAPE, Plan
from titand.runtime.arena import CANDIDATE, EVICTED, FILLED, FILTERED, FREE, HELD_OUT, SELECTED, TRAINED
from titand.workers.assembly import restore_selector, selector_state_bytes

REACHABLE = (FILLED, CANDIDATE, HELD_OUT)


class Watched:
    """A learner that notes the labels it is given."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.labels: list[list[int]] = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def step(self, x, label, weight, round):
        """See `Learner`."""
        self.labels.append(label.tolist())
        return self.inner.step(x, label, weight, round)


@pytest.fixture
def pair(pairs):
    """A pair at work, whose learner is watched."""
    made = pairs(Plan(held_out_samples=5))
    start(made)
    return made


def start(pair):
    pair.start()
    pair.trainer._learner = pair.learner = Watched(pair.trainer._learner)


def correct(pair, slot, label):
    return pair.selector.correct(slot, pair.arena.number[slot], label)


def other(label):
    return (label + 1) % CLASSES


def test_every_sample_is_trained_and_scored_with_the_label_that_was_last_taken(pair):
    """Labels are corrected at random moments between the steps; the oracle is a list of what was answered."""
    generator = random.Random(3)
    expected: dict[int, int] = {}  # by number
    answers: Counter[tuple[int, str]] = Counter()

    def note_arrivals():
        for slot in pair.arena.slots_in(FILLED):
            expected.setdefault(pair.arena.number[slot], pair.arena.label[slot])

    def correct_some():
        for slot in generator.sample(range(pair.plan.slot_count), 12):
            state, number, label = pair.arena.state[slot], pair.arena.number[slot], generator.randrange(CLASSES)
            if state == FREE:
                continue
            answer = correct(pair, slot, label)
            answers[state, answer] += 1
            assert (answer == "too_late") == (state not in REACHABLE)
            if answer != "too_late":
                assert (answer == "unchanged") == (expected[number] == label)
                expected[number] = label

    for _ in range(60):
        pair.feed(20)
        note_arrivals()
        correct_some()
        while pair.selector.on_filled():
            correct_some()
        correct_some()
        batch = pair.select()
        if batch is None:
            continue
        correct_some()
        candidates, _ = pair.recorder.seen[-1]
        assert candidates.label.tolist() == [expected[pair.arena.number[slot]] for slot in candidates.key]
        numbers = pair.numbers(batch)
        pair.train()
        assert pair.learner.labels[-1] == [expected[number] for number in numbers]
        correct_some()
        for slot in pair.arena.slots_in(HELD_OUT):
            assert pair.arena.label[slot] == expected[pair.arena.number[slot]]
    for state in REACHABLE:
        assert answers[state, "corrected"] > 20
    for state in (SELECTED, TRAINED, FILTERED, EVICTED):
        assert answers[state, "too_late"] > 5
    assert pair.ledger.counts().is_balanced


def test_a_sample_that_took_the_place_of_another_is_not_taken_for_it(pair):
    pair.feed(10)
    slot = pair.arena.slots_in(FILLED)[0]
    label = pair.arena.label[slot]
    assert pair.selector.correct(slot, pair.arena.number[slot] + 1000, other(label)) == "too_late"
    assert pair.arena.label[slot] == label


def test_a_correction_of_a_candidate_outlives_its_selector(pair):
    pair.feed(40)
    pair.filter()
    slots = pair.arena.slots_in(CANDIDATE)
    wanted = {pair.arena.number[slot]: other(pair.arena.label[slot]) for slot in slots}
    for slot in slots:
        assert correct(pair, slot, wanted[pair.arena.number[slot]]) == "corrected"
    start(pair)  # the pair died
    pair.filter()
    pair.selector.budgets.round_samples = len(slots)
    numbers = pair.numbers(pair.select())
    pair.train()
    assert set(numbers) <= set(wanted)
    assert pair.learner.labels[-1] == [wanted[number] for number in numbers]


def test_a_window_that_is_restored_has_the_labels_that_were_corrected_since(pair):
    pair.feed(40)
    pair.filter()
    state = selector_state_bytes(pair.selector, with_window=True)
    slots = pair.arena.slots_in(CANDIDATE)
    wanted = {pair.arena.number[slot]: other(pair.arena.label[slot]) for slot in slots}
    for slot in slots:
        pair.arena.label[slot] = wanted[pair.arena.number[slot]]
    start(pair)
    pair.arena.mark(slots, CANDIDATE)
    restore_selector(pair.selector, state)
    batch = pair.select()
    candidates, _ = pair.recorder.seen[-1]
    assert set(candidates.key) == set(slots)
    assert candidates.label.tolist() == [wanted[pair.arena.number[slot]] for slot in candidates.key]
    assert candidates.window_size == batch.facts["window_size"] > len(slots)


def test_held_out_samples_are_kept_in_balance_by_their_corrected_labels(pairs):
    pair = pairs(Plan(held_out_ratio=1.0, held_out_samples=8))
    start(pair)
    pair.push(torch.zeros(8, *SHAPE), [0, 0, 0, 1, 1, 2, 2, 2])
    pair.filter()
    corrected = [0, 0, 0, 0, 0, 1, 1, 1]
    for slot, label in zip(pair.arena.slots_in(HELD_OUT), corrected, strict=True):
        assert correct(pair, slot, label) in ("corrected", "unchanged")
    pair.push(torch.zeros(1, *SHAPE), [2])
    pair.filter()
    kept = Counter(pair.arena.label[slot] for slot in pair.arena.slots_in(HELD_OUT))
    assert kept == Counter({0: 4, 1: 3, 2: 1})  # the fullest class has made room
