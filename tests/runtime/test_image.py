"""The arena's image: whatever is put into a checkpoint comes back, and every sample is still accounted for."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from array import array
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import arenas
from titand.clock import SystemClock
from titand.errors import WorkerDown
from titand.runtime.arena import (
    CANDIDATE,
    EVICTED,
    EXPIRED,
    FILLED,
    FILTERED,
    HELD_OUT,
    INVALID,
    PENDING_LABEL,
    RELEASED,
    SELECTED,
    TRAINED,
    Arena,
    ArenaLayout,
    create_arena,
)
from titand.runtime.image import image_of, restore_image
from titand.runtime.ledger import Ledger

SIZE = 4
SLOTS = 12
COMPLETED = 5  # the round that the checkpoint's parameters have seen
LIVE = (FILLED, CANDIDATE, SELECTED, HELD_OUT, PENDING_LABEL)
STATES = (*LIVE, FILTERED, EVICTED, TRAINED, RELEASED, INVALID, EXPIRED)
COLUMN = {
    FILTERED: "filtered",
    EVICTED: "evicted",
    TRAINED: "selected",
    RELEASED: "held_out",
    INVALID: "rejected",
    EXPIRED: "expired",
}
WAITING = {HELD_OUT: "held_out", PENDING_LABEL: "pending_label"}  # and where they stay; the others are buffered again


@dataclass
class Life:
    """What became of the admitted samples: states in slot order, and the rounds of those that were selected."""

    states: list[int]
    rounds: list[int]
    refused: int


LIVES = st.builds(
    Life,
    st.lists(st.sampled_from(STATES), max_size=SLOTS),
    st.lists(st.integers(1, COMPLETED + 1), min_size=SLOTS, max_size=SLOTS),
    st.integers(0, 3),
)


def new_arena(slot_count: int = SLOTS, sample_bytes: int = SIZE) -> Arena:
    return arenas.new_arena(slot_count, sample_bytes)


def ledger_of(arena: Arena) -> Ledger:
    return Ledger(arena, FILLED_EVENT, SystemClock())


FILLED_EVENT = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def content(number: int) -> bytes:
    return number.to_bytes(SIZE, "big")


def admit(ledger: Ledger, count: int) -> None:
    first = ledger.newest_number() + 1
    numbers = range(first, first + count)
    labels = memoryview(array("i", [number % 7 for number in numbers]))
    times = memoryview(array("q", [number * 1000 for number in numbers]))
    ledger.admit(0, first, labels, times, memoryview(b"".join(map(content, numbers))))


def lived(life: Life) -> Arena:
    """An arena in which samples were admitted, and have come as far as they say."""
    arena = new_arena()
    ledger = ledger_of(arena)
    ledger.open_stream("producer", frozenset())
    admit(ledger, len(life.states))
    ledger.refuse(0, 100, rejected=life.refused, shed=2 * life.refused)
    for slot, (state, round) in enumerate(zip(life.states, life.rounds, strict=False)):
        arena.round[slot] = round if state in (SELECTED, TRAINED, EVICTED) else 0
        arena.state[slot] = state
    return arena


def waiting(arena: Arena) -> dict[int, tuple]:
    """Everything known of the samples that are still to be dealt with, by number."""
    return {
        arena.number[slot]: (
            arena.state[slot],
            bytes(arena.sample(slot)),
            arena.label[slot],
            arena.observed_ns[slot],
            arena.accepted_ns[slot],
        )
        for slot in range(arena.layout.slot_count)
        if arena.state[slot] in LIVE
    }


def is_trained(state: int, round: int) -> bool:
    """What the parameters of a checkpoint have seen already."""
    return state == TRAINED or (state == SELECTED and round <= COMPLETED)


def expected(life: Life, room: int, with_samples: bool) -> Counter:
    """The ledger's columns after the restart, counted by hand."""
    columns: Counter[str] = Counter(rejected=life.refused, shed=2 * life.refused)
    for state, round in zip(life.states, life.rounds, strict=False):
        if is_trained(state, round):
            columns["selected"] += 1
        elif state in COLUMN:
            columns[COLUMN[state]] += 1
        elif with_samples and room:
            room -= 1
            columns[WAITING.get(state, "buffered")] += 1
        else:
            columns["held_out" if state == HELD_OUT else "lost"] += 1
    return columns


def check(counts, columns: Counter, life: Life) -> None:
    assert counts.is_balanced
    assert counts.pushed == len(life.states) + 3 * life.refused
    for field in dataclasses.fields(counts):
        if field.name not in ("pushed", "orphan_labels"):
            assert getattr(counts, field.name) == columns[field.name], field.name


@given(LIVES, st.integers(1, 2 * SLOTS))
def test_a_clean_stop_brings_every_waiting_sample_back(life, room):
    before = lived(life)
    after = new_arena(room)

    count = restore_image(after, image_of(before, with_samples=True), COMPLETED)

    old, new = waiting(before), waiting(after)
    for number, (state, *rest) in new.items():
        assert state == (FILLED if old[number][0] == SELECTED else old[number][0])
        assert rest == list(old[number][1:])
    trained = {n for n, row in enumerate(life.states, 1) if is_trained(row, life.rounds[n - 1])}
    assert set(new) <= set(old) - trained
    assert len(new) == min(room, len(set(old) - trained))
    assert count == sum(state in (FILLED, CANDIDATE) for state, *_ in new.values())
    check(ledger_of(after).counts(), expected(life, room, True), life)


@given(LIVES)
def test_a_batch_in_the_trainers_hand_stays_there(life):
    before, after = lived(life), new_arena()
    restore_image(after, image_of(before, with_samples=True), COMPLETED, COMPLETED + 1)
    old, new = waiting(before), waiting(after)
    in_hand = {number for number, (state, *_) in new.items() if state == SELECTED}
    chosen = {number for number, (state, *_) in old.items() if state == SELECTED}
    assert in_hand == {number for number in chosen if life.rounds[number - 1] == COMPLETED + 1}


class Reused:
    """An arena whose front takes a slot back, and fills it with another sample, while samples are being copied."""

    def __init__(self, arena: Arena, ledger: Ledger, after: int, ends: list[int]) -> None:
        self._arena, self._ledger, self._after, self._ends = arena, ledger, after, ends

    def __getattr__(self, name: str):
        return getattr(self._arena, name)

    def sample(self, slot: int):
        """Let it happen before the copy that is due."""
        if self._after == 0:
            for doomed, end in enumerate(self._ends):
                if self._arena.state[doomed] in (FILLED, CANDIDATE):
                    self._arena.state[doomed] = end
            admit(self._ledger, SLOTS)
        self._after -= 1
        return self._arena.sample(slot)


@given(st.integers(0, SLOTS), st.lists(st.sampled_from([FILTERED, EVICTED, INVALID]), max_size=SLOTS))
def test_a_slot_that_is_reused_while_samples_are_copied_gives_no_false_sample(when, ends):
    arena, after = new_arena(), new_arena()
    ledger = ledger_of(arena)
    admit(ledger, SLOTS)
    image = image_of(Reused(arena, ledger, when, ends), with_samples=True)
    restore_image(after, image, 0)
    for number, (_, data, label, *_) in waiting(after).items():
        assert data == content(number)
        assert label == number % 7
    gone = len(ends) if when < SLOTS else 0
    counts = ledger_of(after).counts()
    assert counts.is_balanced
    assert (counts.pushed, counts.lost) == (SLOTS, 0)
    assert set(range(gone + 1, SLOTS + 1)) <= set(waiting(after))


@given(LIVES)
def test_after_a_crash_what_was_waiting_is_counted_as_lost(life):
    after = new_arena()
    assert restore_image(after, image_of(lived(life), with_samples=False), COMPLETED) == 0
    assert waiting(after) == {}
    check(ledger_of(after).counts(), expected(life, 0, False), life)


@given(LIVES)
def test_producers_go_on_where_they_stood_and_numbers_go_on(life):
    before, after = lived(life), new_arena()
    restore_image(after, image_of(before, with_samples=True), COMPLETED)
    _, position = ledger_of(after).open_stream("producer", frozenset())
    assert position == ledger_of(before).open_stream("producer", frozenset())[1]
    assert position.sequence == 100
    assert ledger_of(after).newest_number() == len(life.states)


@given(LIVES, st.integers(1, 9).filter(lambda size: size != SIZE))
def test_samples_of_another_size_are_refused_and_change_nothing(life, sample_bytes):
    image = image_of(lived(life), with_samples=True)
    after = new_arena(sample_bytes=sample_bytes)
    untouched = bytes(after.memory)
    if waiting(lived(life)):
        with pytest.raises(ValueError, match="bytes of samples, expected"):
            restore_image(after, image, COMPLETED)
        assert bytes(after.memory) == untouched


def test_samples_without_a_label_go_on_waiting_after_a_restart_and_can_still_be_labelled():
    before, after = new_arena(), new_arena()
    old = ledger_of(before)
    old.admit(0, 1, memoryview(array("i", [-1] * 3)), memoryview(array("q")), memoryview(bytes(3 * SIZE)), False)
    old.count_orphans(4)
    assert restore_image(after, image_of(before, with_samples=True), COMPLETED) == 0
    new = ledger_of(after)
    assert new.counts() == old.counts()
    assert (new.counts().pending_label, new.counts().orphan_labels) == (3, 4)
    assert new.join([2], [6]) == [True]
    (slot,) = after.slots_in(FILLED)
    assert (after.number[slot], after.label[slot]) == (2, 6)
    assert new.expire(0.0) == 2


class Interrupted:
    """An arena whose front commits a transaction whenever the image's maker looks at the states, a few times."""

    def __init__(self, arena: Arena, ledger: Ledger, times: int) -> None:
        self._arena, self._ledger, self._times = arena, ledger, times

    def __getattr__(self, name: str):
        if name == "state" and self._times:
            self._times -= 1
            admit(self._ledger, 2)
            for slot in self._arena.slots_in(FILLED):
                self._arena.state[slot] = FILTERED
        return getattr(self._arena, name)


@pytest.mark.parametrize("times", [0, 1, 7, 100])
def test_no_transaction_falls_into_an_image(times):
    arena, after = new_arena(), new_arena()
    ledger = ledger_of(arena)
    image = image_of(Interrupted(arena, ledger, times), with_samples=False)
    restore_image(after, image, 0)
    assert ledger_of(after).counts() == ledger.counts()
    assert ledger.counts().pushed == 2 * times


def test_a_transaction_that_its_front_never_finished_is_not_taken_for_whole():
    arena = new_arena()
    admit(ledger_of(arena), 3)
    arena.journal[0] = 1  # valid, not applied: its front is dead
    with pytest.raises(WorkerDown) as caught:
        image_of(arena, with_samples=False)
    assert caught.value.reason == "ARENA_NOT_STILL"
    ledger_of(arena)  # the next front finishes it
    image_of(arena, with_samples=False)


FRONT = """
import os, sys
from array import array
from titand.clock import SystemClock
from titand.runtime.arena import EVICTED, FILLED, Arena
from titand.runtime.ledger import Ledger
arena = Arena(int(sys.argv[1]))
ledger = Ledger(arena, os.eventfd(0, os.EFD_NONBLOCK), SystemClock())
place, _ = ledger.open_stream("busy", frozenset())
print("busy", flush=True)
sequence, parent = 1, os.getppid()
while os.getppid() == parent:
    labels, times, data = array("i", [1, 2, 3]), array("q"), bytes(12)
    admitted = ledger.admit(place, sequence, memoryview(labels), memoryview(times), memoryview(data))
    sequence += sum(count for _, count in admitted)
    for slot in arena.slots_in(FILLED)[:2]:
        arena.state[slot] = EVICTED
"""


def test_images_taken_of_a_busy_front_all_balance():
    descriptor = create_arena(ArenaLayout(SLOTS, SIZE))
    arena = Arena(descriptor)
    command = [sys.executable, "-c", FRONT, str(descriptor)]
    with subprocess.Popen(command, pass_fds=[descriptor], stdout=subprocess.PIPE) as front:
        try:
            assert front.stdout.readline() == b"busy\n"
            pushed = set()
            for _ in range(100):
                after = new_arena()
                restore_image(after, image_of(arena, with_samples=False), 0)
                counts = ledger_of(after).counts()
                assert counts.is_balanced
                assert counts.pushed == counts.evicted + counts.lost
                pushed.add(counts.pushed)
            assert len(pushed) > 1
        finally:
            front.kill()
