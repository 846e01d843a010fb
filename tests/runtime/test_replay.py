"""Changes that were written down come back once, whatever of them a checkpoint has, and whenever the front died."""

from __future__ import annotations

import os
import weakref
from array import array
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.books import Death, Fuse, Mortal
from titand.clock import SystemClock
from titand.runtime.arena import FILLED, PENDING_LABEL, TRAINED, Arena, ArenaLayout, create_arena
from titand.runtime.image import image_of, restore_image
from titand.runtime.ledger import Ledger
from titand.runtime.log_records import CORRECTED, LABELLED, decode

SIZE, SLOTS, MOST_PENDING = 4, 12, 4
STORED = ("counters", "streams", "journal", "fates", "state", "number", "label", "observed_ns", "accepted_ns", "data")
FILLED_EVENT = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


class List:
    """A log without a file; full when told to be."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.is_full = False

    def append(self, sequence, parts, with_samples) -> bool:
        """See `RecordLog`."""
        if self.is_full and with_samples:
            return False
        assert not self.records or sequence == self.records[-1][0] + 1
        self.records.append((sequence, b"".join(map(bytes, parts))))
        return True


def content(number: int) -> bytes:
    return number.to_bytes(SIZE, "big")


def arena_of(slot_count: int = SLOTS, fuse: Fuse | None = None, descriptor: int | None = None) -> Arena:
    arena = Arena(create_arena(ArenaLayout(slot_count, SIZE)) if descriptor is None else descriptor)
    for name in STORED if fuse is not None else ():
        setattr(arena, name, Mortal(getattr(arena, name), fuse))
    return arena


@dataclass
class World:
    """A ledger with a log, and what its producers were told."""

    log: List = field(default_factory=List)
    told: dict[int, int | None] = field(default_factory=dict)  # number -> label
    refused: int = 0
    sequences: dict[str, int] = field(default_factory=dict)
    image: bytes | None = None
    descriptor: int = -1

    def begin(
        self, slot_count: int = SLOTS, descriptor: int | None = None, fuse: Fuse | None = None, image=None
    ) -> None:
        if descriptor is None:
            self.descriptor = create_arena(ArenaLayout(slot_count, SIZE))
            weakref.finalize(self, os.close, self.descriptor)
        self.arena = Arena(self.descriptor)
        if image is not None:
            restore_image(self.arena, image, 0)
        self.ledger = Ledger(
            arena_of(fuse=fuse, descriptor=self.descriptor), FILLED_EVENT, SystemClock(), MOST_PENDING, self.log
        )

    def replay(self, most_lost: int = 0) -> None:
        """Make everything again, workers taking what is in the way."""
        records = [(sequence, decode(record)) for sequence, record in self.log.records]
        known, corrections = self.ledger.logged, {}
        for sequence, record in records:
            if sequence > known and record.kind in (LABELLED, CORRECTED):
                corrections |= dict(zip(record.columns.times, record.columns.labels, strict=True))
        self.ledger.begin_replay(corrections)
        for sequence, record in records:
            while not self.ledger.replay(sequence, record):
                self.work(99)
        assert self.ledger.end_replay(0) <= most_lost

    def admit(self, stream: str, count: int, is_labelled: bool) -> None:
        place, position = self.ledger.open_stream(stream, frozenset())
        first = self.ledger.newest_number() + 1
        labels = array("i", [number % 7 if is_labelled else -1 for number in range(first, first + count)])
        data = memoryview(b"".join(map(content, range(first, first + count))))
        runs = self.ledger.admit(
            place, position.sequence + 1, memoryview(labels), memoryview(array("q")), data, is_labelled
        )
        for number, admitted in runs:
            self.told |= {each: each % 7 if is_labelled else None for each in range(number, number + admitted)}
            self.sequences[stream] = self.sequences.get(stream, 0) + admitted

    def refuse(self, stream: str, count: int) -> None:
        place, position = self.ledger.open_stream(stream, frozenset())
        assert self.ledger.refuse(place, position.sequence + count, rejected=count)
        self.refused += count
        self.sequences[stream] = self.sequences.get(stream, 0) + count

    def label(self, number: int) -> None:
        if self.ledger.join([number], [5]) == [True]:
            self.told[number] = 5

    def work(self, count: int) -> None:
        for slot in self.arena.slots_in(FILLED)[:count]:
            self.arena.state[slot] = TRAINED

    def check(self) -> None:
        """Nothing is lost, nothing is twice, everything is as it was told."""
        counts = self.ledger.counts()
        assert counts.is_balanced
        assert counts.pending_label <= MOST_PENDING
        assert counts.pushed == len(self.told) + self.refused
        assert (counts.lost, counts.rejected) == (0, self.refused)
        here = self.arena.slots_in(FILLED) + self.arena.slots_in(PENDING_LABEL)
        numbers = [self.arena.number[slot] for slot in here]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= self.told.keys()
        for slot, number in zip(here, numbers, strict=True):
            assert bytes(self.arena.sample(slot)) == content(number)
            if self.arena.state[slot] == FILLED:
                assert self.arena.label[slot] == self.told[number]
            else:
                assert self.told[number] is None
        for stream, sequence in self.sequences.items():
            assert self.ledger.open_stream(stream, frozenset())[1].sequence == sequence


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.sampled_from(["a", "b"]), st.integers(1, 5), st.booleans()),
        st.tuples(st.just("refuse"), st.sampled_from(["a", "b"]), st.integers(1, 3)),
        st.tuples(st.just("label"), st.integers(1, 30)),
        st.tuples(st.just("work"), st.integers(1, 4)),
        st.just(("checkpoint",)),
        st.tuples(st.just("full"), st.booleans()),
    ),
    max_size=25,
)


def live(world: World, acts: list) -> None:
    for act, *rest in acts:
        if act == "checkpoint":
            world.image = image_of(world.arena, with_samples=True)
        elif act == "full":
            world.log.is_full = rest[0]
        else:
            getattr(world, act)(*rest)


def end_of_everything(world: World, slot_count: int) -> None:
    """All memory is gone but the log and the last checkpoint."""
    world.log.is_full = False
    world.begin(slot_count if world.image is None else max(slot_count, SLOTS), image=world.image)
    world.replay()


@given(ACTS, ACTS, st.integers(MOST_PENDING + 1, SLOTS))
@settings(max_examples=300)
def test_what_no_checkpoint_has_comes_back_and_nothing_twice(before, after, slot_count):
    world = World()
    world.begin()
    live(world, before)
    end_of_everything(world, slot_count)
    world.check()
    live(world, after)
    world.check()
    end_of_everything(world, slot_count)
    world.check()


@given(ACTS, st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=300)
def test_a_front_that_dies_between_log_and_arena_is_followed_by_one_that_makes_the_change(acts, first, second):
    world = World()
    world.begin(fuse=Fuse(first))
    try:
        live(world, acts)
    except Death:
        told, sequences, refused = dict(world.told), dict(world.sequences), world.refused
        for stores in (second, 10**9):
            try:
                world.begin(descriptor=world.descriptor, fuse=Fuse(stores))
                world.replay()
                break
            except Death:
                pass
        counts = world.ledger.counts()
        assert counts.is_balanced
        assert counts.lost == 0
        assert len(told) + refused <= counts.pushed <= len(told) + refused + 5
        for stream, sequence in sequences.items():
            assert sequence <= world.ledger.open_stream(stream, frozenset())[1].sequence <= sequence + 5
        return
    world.check()


def test_records_that_are_missing_are_counted_as_lost():
    world = World()
    world.begin(slot_count=64)
    for _ in range(6):
        world.admit("a", 5, is_labelled=True)
    del world.log.records[1:3]
    world.begin(slot_count=64)
    world.replay()
    counts = world.ledger.counts()
    assert (counts.pushed, counts.buffered, counts.lost, counts.is_balanced) == (30, 20, 10, True)
    assert world.ledger.open_stream("a", frozenset())[1].sequence == 30


def test_a_full_log_takes_no_sample_and_says_that_it_was_the_log():
    world = World()
    world.begin()
    world.log.is_full = True
    world.admit("a", 3, is_labelled=True)
    assert world.told == {}
    assert world.ledger.is_log_full
    world.log.is_full = False
    world.admit("a", 3, is_labelled=True)
    assert not world.ledger.is_log_full
    world.check()
