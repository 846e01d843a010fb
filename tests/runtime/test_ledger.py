"""The ledger balances whatever dies, at any store; the oracle is a second set of books."""

import os
from array import array
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.arenas import new_arena
from tests.runtime.books import Books, Death, content
from titand.clock import SystemClock
from titand.runtime.arena import (
    EVICTED,
    EXPIRED,
    FATE_COUNT,
    FILLED,
    FILTERED,
    HELD_OUT,
    RELEASED,
    STREAM_COUNT,
    TRAINED,
    Arena,
    ArenaLayout,
    create_arena,
)
from titand.runtime.ledger import Ledger

FILLED_EVENT = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

PLACES = 3


class AnyLife(RuleBasedStateMachine):
    """Fronts push, refuse, die and are followed; workers go on all the while."""

    def __init__(self):
        super().__init__()
        self.books = Books()
        for place in range(PLACES):
            self.books.ledger.open_stream(f"stream {place}", frozenset(range(place)))
        self.settled = [0] * PLACES
        self.age = {}  # of samples without a label, in seconds

    @rule(place=st.integers(0, PLACES - 1), samples=st.integers(1, 8))
    def admit(self, place, samples):
        admitted = self.books.admit(place, samples)
        assert admitted == self.books.write_down()
        assert admitted == samples or self.books.ledger.free_count() == 0
        self.settled[place] += admitted

    @rule(place=st.integers(0, PLACES - 1), samples=st.integers(1, 8))
    def admit_unlabelled(self, place, samples):
        admitted = self.books.admit(place, samples, is_labelled=False)
        assert admitted == self.books.write_down(is_labelled=False)
        assert admitted == samples or self.books.ledger.free_count() == 0
        self.settled[place] += admitted

    @rule(data=st.data())
    def label(self, data):
        known = st.integers(-1, self.books.ledger.newest_number() + 2)
        self.books.label(data.draw(st.lists(known, max_size=5, unique=True)))

    @precondition(lambda self: self.books.pending())
    @rule(data=st.data(), stores=st.integers(0, 7))
    def die_while_labelling(self, data, stores):
        numbers = data.draw(st.permutations(self.books.pending()))
        with self.books.dying_after(stores):
            self.books.ledger.join(numbers, [number % 7 for number in numbers])
        self.books.begin()
        for number in numbers[: stores // 2]:  # two stores each: a label without its state means nothing
            self.books.fate[number] = FILLED

    @precondition(lambda self: self.books.pending())
    @rule(stores=st.integers(0, 3))
    def die_while_expiring(self, stores):
        waiting = self.books.pending()
        self.books.clock.later_ns += 1
        with self.books.dying_after(stores):
            self.books.ledger.expire(0.0)
        self.books.begin()
        for number in waiting[:stores]:
            self.books.fate[number] = EXPIRED

    @rule(place=st.integers(0, PLACES - 1), samples=st.integers(1, 8), stores=st.integers(0, 30))
    def die_while_admitting_unlabelled(self, place, samples, stores):
        with self.books.dying_after(stores):
            self.books.admit(place, samples, is_labelled=False)
        self.follow(place, is_labelled=False)

    @rule()
    def a_minute_passes(self):
        self.books.clock.later_ns += 60 * 10**9
        for number in self.books.pending():
            self.age[number] = self.age.get(number, 0) + 60

    @rule()
    def expire(self):
        due = [number for number in self.books.pending() if self.age.get(number, 0) > 100]
        assert self.books.ledger.expire(100.0) == len(due)
        for number in due:
            self.books.fate[number] = EXPIRED

    @rule(labels=st.integers(1, 3))
    def count_orphans(self, labels):
        self.books.ledger.count_orphans(labels)
        self.books.orphans += labels

    @rule(place=st.integers(0, PLACES - 1), rejected=st.integers(0, 5), shed=st.integers(0, 5))
    def refuse(self, place, rejected, shed):
        self.settled[place] += rejected + shed
        self.books.ledger.refuse(place, self.settled[place], rejected, shed)
        self.books.rejected += rejected
        self.books.shed += shed

    @rule(place=st.integers(0, PLACES - 1), samples=st.integers(1, 8), stores=st.integers(0, 30))
    def die_while_admitting(self, place, samples, stores):
        with self.books.dying_after(stores):
            self.books.admit(place, samples)
        self.follow(place)

    @rule(
        place=st.integers(0, PLACES - 1), rejected=st.integers(0, 3), shed=st.integers(1, 3), stores=st.integers(0, 9)
    )
    def die_while_refusing(self, place, rejected, shed, stores):
        before = self.books.ledger.counts()
        with self.books.dying_after(stores):
            self.books.ledger.refuse(place, self.settled[place] + rejected + shed, rejected, shed)
        self.books.begin()
        if self.books.ledger.counts() != before:
            self.books.rejected += rejected
            self.books.shed += shed
            self.settled[place] += rejected + shed

    @rule(stores=st.integers(0, 9))
    def die_while_following(self, stores):
        try:
            self.books.begin(stores)
        except Death:
            self.books.begin()

    @precondition(lambda self: self.books.live())
    @rule(data=st.data(), choice=st.integers(0, 3))
    def work(self, data, choice):
        self.books.work(data.draw(st.sampled_from(self.books.live())), choice)

    def follow(self, place, is_labelled=True):
        self.books.begin()
        self.settled[place] += self.books.write_down(is_labelled, is_alive=False)

    @invariant()
    def balanced(self):
        self.books.check()

    @invariant()
    def streams_stand_where_they_were_settled(self):
        for place, sequence in enumerate(self.settled):
            position = self.books.position(place)
            assert position.sequence == sequence == position.accepted + position.rejected + position.shed

    @invariant()
    def every_fate_is_known(self):
        for number, state in self.books.fate.items():
            assert self.books.ledger.fate(number).state == state


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def full_of_ended():
    """Books whose arena is full of samples that have ended, in two runs around one that has not."""
    books = Books()
    place, _ = books.ledger.open_stream("a", frozenset())
    books.admit(place, 6)
    books.write_down()
    for slot in (0, 1, 3, 4, 5):
        books.work(slot, 2)
    return books, place


def test_a_front_killed_at_any_store_of_an_admission_leaves_all_or_nothing_of_each_transaction():
    outcomes = set()
    for stores in count():
        books, place = full_of_ended()
        with books.dying_after(stores):
            books.admit(place, 4)
            break  # it did not die: every store was tried
        for again in count():  # and its successors die too, at every store of the recovery
            try:
                books.begin(again)
                break
            except Death:
                pass
        new = books.write_down()
        outcomes.add(new)
        assert books.position(place).sequence == 6 + new
        books.check()
    assert stores > 15
    assert outcomes == {0, 4}


def test_the_selector_may_go_on_with_the_first_slots_of_an_admission_that_was_cut_short():
    for stores in count():
        books = Books()
        place, _ = books.ledger.open_stream("a", frozenset())
        with books.dying_after(stores):
            books.admit(place, 4)
            raise AssertionError("the states were never stored in two halves")
        if seen := books.live():  # dead between the states of one run
            break
    assert len(seen) == 2
    for slot in seen:
        books.arena.state[slot] = FILTERED
    books.begin()
    books.write_down()
    for slot in seen:
        books.fate[books.arena.number[slot]] = FILTERED
    books.check()


def test_a_successor_announces_what_its_predecessor_could_not():
    books = Books()
    place, _ = books.ledger.open_stream("a", frozenset())
    books.admit(place, 2)
    assert os.eventfd_read(books.filled) == 2
    books.begin()
    assert os.eventfd_read(books.filled) > 0
    for slot in books.live():
        books.arena.state[slot] = TRAINED
    books.begin()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(books.filled)


def test_columns_keep_what_was_pushed_with_each_sample():
    books = Books()
    place, _ = books.ledger.open_stream("a", frozenset())
    labels, times = array("i", [5, -1]), array("q", [10**18, 7])
    data = content(1) + content(2)
    runs = books.ledger.admit(place, 1, memoryview(labels), memoryview(times), memoryview(data))
    assert runs == [(1, 2)]
    assert list(books.arena.label[:2]) == [5, -1]
    assert list(books.arena.observed_ns[:2]) == [10**18, 7]
    fate = books.ledger.fate(2)
    assert (fate.label, fate.accepted_ns) == (-1, books.arena.accepted_ns[1])
    assert fate.accepted_ns > 10**18


def test_fates_are_remembered_for_the_latest_numbers_and_unknown_for_none():
    books = Books()
    place, _ = books.ledger.open_stream("a", frozenset())
    books.admit(place, 1)
    books.arena.state[0] = HELD_OUT
    for _ in range(FATE_COUNT // 5 + 1):
        admitted = books.admit(place, 5)
        books.arena.state[1:6] = bytes([EVICTED]) * 5
        assert admitted == 5
    newest = books.ledger.newest_number()
    assert books.ledger.fate(1).state == HELD_OUT  # however long ago, it is still here
    assert books.ledger.fate(2) is None
    assert books.ledger.fate(newest + 1) is None
    assert books.ledger.fate(0) is None
    books.admit(place, 1)  # reclaims
    assert books.ledger.fate(newest).state == EVICTED
    # The old one shares its place in the memory with a younger one, and must not speak for it.
    younger = 1 + FATE_COUNT
    assert younger <= newest
    books.arena.state[0] = RELEASED
    assert books.admit(place, 6) == 5  # reclaims
    assert books.ledger.fate(younger).state == EVICTED


def test_a_stream_is_found_again_by_its_id_and_a_nameless_one_never():
    books = Books()
    named, _ = books.ledger.open_stream("camera", frozenset())
    books.ledger.refuse(named, 5, shed=5)
    nameless, position = books.ledger.open_stream("", frozenset({named}))
    books.ledger.refuse(nameless, 3, rejected=3)
    assert position.sequence == 0
    place, position = books.ledger.open_stream("camera", frozenset({nameless}))
    assert (place, position.sequence, position.shed) == (named, 5, 5)
    _, position = books.ledger.open_stream("", frozenset({named}))
    assert position.sequence == 0


def test_the_place_unused_for_longest_is_given_away_and_nameless_ones_first():
    books = Books()
    for number in range(STREAM_COUNT - 1):
        place, _ = books.ledger.open_stream(f"s{number}", frozenset())
        books.ledger.refuse(place, number + 1, shed=number + 1)
    nameless, _ = books.ledger.open_stream("", frozenset())
    assert books.ledger.open_stream("new", frozenset())[0] == nameless
    books.ledger.open_stream("newer", frozenset())
    known = [books.ledger.open_stream(f"s{number}", frozenset())[1].sequence for number in range(1, STREAM_COUNT - 1)]
    assert known == list(range(2, STREAM_COUNT))
    assert books.ledger.open_stream("s0", frozenset())[1].sequence == 0


@pytest.mark.parametrize("step_seconds", [-86_400, 86_400])
def test_who_was_here_last_is_known_however_the_clock_is_set(step_seconds):
    books = Books()
    for number in range(STREAM_COUNT):
        place, _ = books.ledger.open_stream(f"s{number}", frozenset())
        books.ledger.refuse(place, number + 1, shed=number + 1)
        books.clock.set_ns += int(step_seconds * 1e9)
        if number % 20 == 0:
            books.begin()
    books.clock.set_ns = 0
    books.ledger.open_stream("new", frozenset())
    known = [books.ledger.open_stream(f"s{number}", frozenset())[1].sequence for number in range(1, STREAM_COUNT)]
    assert known == list(range(2, STREAM_COUNT + 1))


def test_no_place_is_taken_from_an_open_stream():
    books = Books()
    everyone = frozenset(range(STREAM_COUNT))
    with pytest.raises(LookupError):
        books.ledger.open_stream("late", everyone)


def test_a_stream_killed_while_it_is_opened_is_not_taken_for_its_predecessor():
    for stores in count():
        books = Books()
        for number in range(STREAM_COUNT):
            place, _ = books.ledger.open_stream(f"s{number}", frozenset())
            books.ledger.refuse(place, number + 1, shed=number + 1)
        with books.dying_after(stores):
            books.ledger.open_stream("new", frozenset())
            break
        books.begin()
        place, position = books.ledger.open_stream("new", frozenset())
        assert position.sequence == 0
        assert books.ledger.counts().is_balanced
    assert stores > 3


def test_a_backlog_that_is_gone_gives_its_memory_back_and_no_sample_that_stays():
    sample, count = 4096, 512
    descriptor = create_arena(ArenaLayout(count, sample))
    arena = Arena(descriptor)
    ledger = Ledger(arena, FILLED_EVENT, SystemClock())
    place, _ = ledger.open_stream("backlog", frozenset())
    data = bytes(range(256)) * (sample // 256) * count
    ledger.admit(place, 1, memoryview(array("i", [7] * count)), memoryview(array("q")), memoryview(data))
    arena.mark([slot for slot in range(count) if slot != 200], FILTERED)
    arena.state[200] = HELD_OUT
    before = os.fstat(descriptor).st_blocks * 512

    given = ledger.give_back()

    assert given >= (count - 3) * sample
    assert os.fstat(descriptor).st_blocks * 512 <= before - given + 4096
    assert bytes(arena.sample(200)) == data[:sample]
    assert ledger.counts().is_balanced
    assert ledger.give_back() == 0  # nothing has been used since
    os.close(descriptor)


def test_slots_that_have_ended_are_used_again_before_memory_that_was_never_used():
    arena = new_arena(1024, 4096)
    ledger = Ledger(arena, FILLED_EVENT, SystemClock())
    place, _ = ledger.open_stream("steady", frozenset())
    for round in range(100):
        labels = memoryview(array("i", [0] * 32))
        ledger.admit(place, 1 + 32 * round, labels, memoryview(array("q")), memoryview(bytes(32 * 4096)))
        arena.mark(arena.slots_in(FILLED), FILTERED)

    assert max(slot for slot in range(1024) if arena.number[slot]) < 2 * 32
