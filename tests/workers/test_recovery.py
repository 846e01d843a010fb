"""A worker that dies at any store leaves nothing that its successors could not go on from."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from tests.runtime.books import Death, Fuse, Mortal
from tests.workers.pair import Plan
from titand.runtime.arena import CANDIDATE, EVICTED, FILLED, FREE, HELD_OUT, SELECTED, TRAINED, Arena
from titand.workers.held_out import is_held_out

PLAN = Plan(round_samples=10, candidates=6, batch_size=3, held_out_ratio=0.2, held_out_samples=4, slot_count=64)
HELD_OUT_RATIO = PLAN.held_out_ratio


class MortalBoard:
    """A parameter board whose writer dies while it copies a version or before it publishes one."""

    def __init__(self, board, fuse) -> None:
        self._board, self._fuse = board, fuse

    def __getattr__(self, name):
        return getattr(self._board, name)

    def slot(self, version):
        slot = self._board.slot(version)
        return Mortal(slot, self._fuse) if version > self._board.version else slot

    def publish(self, version):
        if self._fuse.burns():
            raise Death
        self._board.publish(version)


class Chronicle:
    """What an observer knows: which samples each completed round was trained on, and which version came of it."""

    def __init__(self, pair) -> None:
        self.pair = pair
        self.trained: dict[int, list[int]] = {}

    def begin(self, fuse: Fuse | None = None) -> None:
        """Start workers that may die, after an earlier pair if there was one."""
        pair = self.pair
        arena = Arena(pair.descriptors.arena)
        if fuse is not None:
            arena.state, arena.round = Mortal(arena.state, fuse), Mortal(arena.round, fuse)
        pair.start(arena)
        if fuse is not None:
            pair.trainer._board = MortalBoard(pair.board, fuse)

    def live(self, rounds: int) -> None:
        """Let the pair work, in the order in which messages allow it."""
        pair = self.pair
        for _ in range(rounds):
            pair.feed(14)
            pair.filter()
            chosen = pair.select()
            if chosen is None:
                continue
            numbers = pair.numbers(chosen)
            try:
                pair.train()
            finally:
                if pair.board.version >= chosen.round:
                    assert chosen.round not in self.trained, "a round was trained twice"
                    self.trained[chosen.round] = numbers

    def check(self) -> None:
        """Check that nothing is lost, nothing trained twice, no version skipped, nothing held out trained on."""
        pair = self.pair
        counts = pair.ledger.counts()
        assert counts.is_balanced
        assert counts.pushed == pair.pushed
        assert counts.lost == 0
        assert list(self.trained) == list(range(1, pair.board.version + 1))
        numbers = [number for round in self.trained.values() for number in round]
        assert len(set(numbers)) == len(numbers), "a sample was trained on twice"
        assert not any(is_held_out(number, HELD_OUT_RATIO) for number in numbers)
        waiting = sum(pair.arena.state[slot] == SELECTED for slot in range(PLAN.slot_count))
        assert counts.selected == len(numbers) + waiting


def stores_of(pair, rounds: int) -> int:
    """How many stores so many rounds take."""
    fuse = Fuse(10**9)
    chronicle = Chronicle(pair)
    chronicle.begin(fuse)
    chronicle.live(rounds)
    return 10**9 - fuse.left


def test_a_pair_that_dies_at_any_store_is_followed_by_one_that_goes_on(pairs):
    total = stores_of(pairs(PLAN), 4)
    assert total > 60
    deaths = 0
    for stores in range(total):
        pair = pairs(PLAN)
        chronicle = Chronicle(pair)
        chronicle.begin(Fuse(stores))
        with pytest.raises(Death):
            chronicle.live(4)
        deaths += 1
        chronicle.begin()
        chronicle.check()
        version = pair.board.version
        chronicle.live(3)
        chronicle.check()
        assert pair.board.version > version
        pair.filter()
        assert not set(pair.states()) & {FILLED}
    assert deaths == total


def test_death_upon_death_loses_nothing(pairs):
    pair = pairs(PLAN)
    chronicle = Chronicle(pair)
    generator = torch.Generator().manual_seed(5)
    deaths = 0
    for _ in range(50):
        fuse = Fuse(int(torch.randint(0, 200, (), generator=generator)))
        try:
            chronicle.begin(fuse)
            chronicle.live(3)
        except Death:
            deaths += 1
    chronicle.begin()
    chronicle.live(3)
    chronicle.check()
    assert deaths > 10
    assert pair.board.version > 20


def test_samples_of_a_batch_that_was_not_trained_are_filtered_again(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    pair.round()
    pair.feed(20)
    pair.filter()
    batch = pair.select()
    pair.start()
    assert pair.recovered == len(batch.slots)
    assert pair.arena.slots_in(FILLED) == sorted(batch.slots, key=pair.arena.number.__getitem__)
    assert pair.permit.round == batch.round


def test_samples_of_a_batch_whose_version_was_published_count_as_trained(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    pair.feed(20)
    pair.filter()
    batch = pair.select()
    pair.board.publish(batch.round)  # and the trainer dies before it marks them
    pair.start()
    assert pair.recovered == 0
    assert {pair.arena.state[slot] for slot in batch.slots} == {TRAINED}
    assert pair.permit.round == batch.round + 1


def test_candidates_are_filtered_again_and_held_out_samples_stay_where_they_are(pairs):
    pair = pairs(PLAN)
    pair.start()
    pair.feed(40)
    pair.filter()
    before = Counter(pair.states())
    kept = pair.arena.slots_in(HELD_OUT)
    pair.start()
    after = Counter(pair.states())
    assert after[FILLED] == before[CANDIDATE] > 0
    assert (after[CANDIDATE], after[HELD_OUT]) == (0, before[HELD_OUT])
    assert pair.arena.slots_in(HELD_OUT) == kept
    assert len(pair.selector.evaluator.held_out) == len(kept)
    pair.filter()
    assert pair.arena.slots_in(HELD_OUT) == kept


def test_the_successor_starts_from_the_parameters_of_the_last_completed_round(pairs):
    pair = pairs(PLAN)
    pair.start()
    for _ in range(5):
        pair.round()
    published = pair.copy_of(5)
    pair.optimizer.meanwhile = lambda: (_ for _ in ()).throw(Death())  # in the middle of round 6
    with pytest.raises(Death):
        pair.round()
    pair.start()
    assert pair.trainer.version == 5
    assert (pair.permit.round, pair.permit.version) == (6, 5)
    for name, tensor in pair.copy_of(5).items():
        assert torch.equal(tensor, published[name]), name
    assert pair.round().round == 6


def test_after_each_restart_one_round_is_fresher_and_all_others_are_one_behind(pairs):
    pair = pairs(PLAN)
    stale = Counter()
    for _ in range(4):
        pair.start()
        for _ in range(5):
            pair.round()
        stale += Counter(dict(enumerate(pair.trainer.staleness_round_counts)))
    assert stale == {0: 4, 1: 16}
    assert pair.board.version == 20


def test_slots_of_the_dead_are_given_back_to_producers(pairs):
    pair = pairs(Plan(slot_count=64, held_out_ratio=0.0))
    for _ in range(10):
        pair.start()
        pair.round()
        pair.feed(64)
    pair.start()
    for _ in range(10):
        pair.round()
    pair.filter()
    assert pair.ledger.free_count() >= 64 - pair.plan.candidates - pair.plan.batch_size
    assert set(pair.states()) <= {FREE, CANDIDATE, TRAINED, EVICTED, 16}
