"""Selector and trainer together: one round is three calls, and the delay is exactly one round."""

from __future__ import annotations

import threading
from collections import Counter
from queue import Queue

import pytest
import torch

from tests.workers.pair import SHAPE, Plan, probabilities
from titand.runtime.arena import CANDIDATE, EVICTED, FILTERED, FREE, HELD_OUT, INVALID, RELEASED, SELECTED, TRAINED
from titand.workers.held_out import is_held_out


def inputs_of(pair, slots):
    """The raw samples in some slots, read without the workers."""
    rows = [torch.frombuffer(bytearray(pair.front.sample(slot)), dtype=torch.float32) for slot in slots]
    return torch.stack(rows).view(-1, *SHAPE)


def check_scored_with(pair, version_tensors) -> None:
    """Check that the last window was scored with these parameters, by scoring it again."""
    candidates, scores = pair.recorder.seen[-1]
    again = probabilities(version_tensors, inputs_of(pair, candidates.key))
    torch.testing.assert_close(scores.probability, again)


def test_a_round_is_three_calls(pairs):
    pair = pairs()
    pair.start()
    pair.feed(40)
    pair.filter()
    batch = pair.selector.on_permit(pair.permit)
    pair.trainer.on_batch(batch, 0.0)
    assert pair.trainer.version == batch.round == 1
    assert len(batch.slots) == len(batch.sample_weights) == pair.plan.batch_size
    assert batch.facts["window_size"] == sum(not is_held_out(number, 0.1) for number in range(1, 41))


def test_every_sample_ends_in_the_state_that_the_stages_gave_it(pairs):
    pair = pairs()
    pair.start()
    pair.feed(40)
    pair.filter()
    aside = sum(is_held_out(number, 0.1) for number in range(1, 41))
    in_time = Counter(pair.states())
    assert in_time == Counter({CANDIDATE: 8, HELD_OUT: aside, FILTERED: 32 - aside, FREE: 56})
    batch = pair.select()
    assert Counter(pair.states()) == in_time + Counter({SELECTED: 4, EVICTED: 4}) - Counter({CANDIDATE: 8})
    assert {pair.arena.state[slot] for slot in batch.slots} == {SELECTED}
    assert {pair.arena.round[slot] for slot in batch.slots} == {1}
    pair.train()
    assert Counter(pair.states())[TRAINED] == 4
    assert pair.ledger.counts().is_balanced


def test_staleness_is_exactly_one_from_the_second_round_on(pairs):
    pair = pairs()
    pair.start()
    for _ in range(60):
        pair.round()
    assert [batch.round for batch in pair.batches] == list(range(1, 61))
    assert [batch.version for batch in pair.batches] == [0, *range(59)]
    assert pair.trainer.staleness_round_counts == [1, 59]
    assert pair.trainer.last_round["staleness"] == 1


@pytest.mark.parametrize("moment", ["before the step", "within the step", "after the step"])
def test_a_batch_is_scored_with_the_parameters_of_its_permit_whenever_it_is_chosen(pairs, moment):
    """The batch of round r + 1 is chosen before, while or after round r is trained; the values are the same."""
    pair = pairs()
    pair.start()
    versions = {0: pair.copy_of(0)}
    pair.feed(60)
    pair.filter()
    pair.select()

    def choose() -> None:
        pair.feed(40)
        pair.filter()
        batch = pair.select()
        assert batch is not None
        assert batch.version == max(0, batch.round - 2)
        check_scored_with(pair, versions[batch.version])

    for round in range(1, 51):
        batch, pair.batch = pair.batch, None
        pair.permit = pair.trainer.permit_after(batch)
        if moment == "before the step":
            choose()
        if moment == "within the step":
            pair.optimizer.meanwhile = choose
        pair.trainer.on_batch(batch, 0.0)
        versions[round] = pair.copy_of(round)
        if moment == "after the step":
            choose()
        moved = [(versions[round][name] - versions[round - 1][name]).abs().max() for name in versions[0]]
        assert max(moved) > 1e-3, "the versions are too alike to tell"
    assert pair.trainer.version == 50


def test_side_by_side_in_two_threads_each_batch_has_the_values_of_its_permit(pairs):
    pair = pairs()
    pair.start()
    rounds, versions, scored = 80, {0: pair.copy_of(0)}, {}
    batches, permits = Queue(1), Queue(1)
    permits.put(pair.permit)
    failures = []

    def select() -> None:
        try:
            for _ in range(rounds):
                pair.feed(40)
                pair.filter()
                permit = permits.get()
                pair.selector.load(permit.version)
                batch = pair.selector.on_permit(permit)
                candidates, scores = pair.recorder.seen[-1]
                scored[batch.round] = (batch.version, inputs_of(pair, candidates.key), scores.probability)
                batches.put(batch)
        except BaseException as error:
            failures.append(error)
            batches.put(None)

    thread = threading.Thread(target=select)
    thread.start()
    for round in range(1, rounds + 1):
        batch = batches.get()
        if batch is None:
            break
        if round < rounds:
            permits.put(pair.trainer.permit_after(batch))
        pair.trainer.on_batch(batch, 0.0)
        versions[round] = pair.copy_of(round)
    thread.join()
    assert failures == []
    assert pair.trainer.staleness_round_counts == [1, rounds - 1]
    for version, x, probability in scored.values():
        torch.testing.assert_close(probability, probabilities(versions[version], x))


def test_what_is_held_out_is_never_trained_on(pairs):
    pair = pairs(Plan(held_out_ratio=0.3, held_out_samples=5))
    pair.start()
    chosen = [number for _ in range(40) for number in pair.numbers(pair.round())]
    assert not any(is_held_out(number, 0.3) for number in chosen)
    assert len(set(chosen)) == len(chosen), "a sample was trained on twice"
    kept = [pair.arena.number[slot] for slot in pair.arena.slots_in(HELD_OUT)]
    assert len(kept) == 5
    assert all(is_held_out(number, 0.3) for number in kept)
    counts = pair.ledger.counts()
    assert counts.held_out == sum(is_held_out(number, 0.3) for number in range(1, pair.pushed + 1))
    assert pair.states().count(RELEASED) <= counts.held_out - 5


def test_the_model_learns_what_tells_the_classes_apart(pairs):
    pair = pairs()
    pair.start()
    losses = [pair.round() and pair.trainer.last_round["loss"] for _ in range(60)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    assert pair.selector.report()["evaluation"]["prequential_accuracy"] > 0.7


def test_uniform_is_a_control_that_asks_the_model_nothing(pairs):
    pair = pairs(Plan(policy="uniform", rule="uniform"))
    pair.start()
    for _ in range(20):
        batch = pair.round()
        assert batch.sample_weights == (1.0,) * pair.plan.batch_size
        assert batch.facts["variance_ratio"] is None
    assert all(scores is None for _, scores in pair.recorder.seen)
    assert pair.trainer.staleness_round_counts == [1, 19]
    assert "score" not in pair.selector.report()["stages"]


@pytest.mark.parametrize("rule", ["stratified", "predicted", "rep-div", "uniform"])
def test_every_rule_of_the_filter_works_in_the_pair(pairs, rule):
    pair = pairs(Plan(rule=rule))
    pair.start()
    for _ in range(10):
        pair.round()
    counts = pair.ledger.counts()
    assert counts.is_balanced
    assert (counts.selected, counts.evicted) == (40, 40)


def test_a_fast_stream_makes_windows_larger_and_nothing_else(pairs):
    pair = pairs()
    pair.start()
    pair.feed(80)
    pair.filter()
    batch = pair.select()
    assert batch.facts["window_size"] == sum(not is_held_out(number, 0.1) for number in range(1, 81))
    assert batch.facts["candidate_count"] == 8
    assert pair.selector.window_size == 0


def test_a_slow_stream_makes_the_trainer_wait(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    pair.feed(15)
    pair.filter()
    assert pair.select() is None
    pair.feed(1)
    pair.filter()
    assert pair.select() is not None


def test_scores_that_are_not_finite_are_rejected_and_the_rest_is_trained_on(pairs):
    pair = pairs(Plan(held_out_ratio=0.0, candidates=16))
    pair.start()
    x = torch.randn(16, *SHAPE)
    x[3, 2], x[7, 0] = float("nan"), float("inf")
    pair.push(x, [number % 3 for number in range(16)])
    pair.filter()
    batch = pair.select()
    assert not {3, 7} & set(batch.slots)
    assert [pair.arena.state[slot] for slot in (3, 7)] == [INVALID, INVALID]
    pair.train()
    assert pair.ledger.counts().rejected == pair.selector.invalid_count == 2
    assert all(tensor.isfinite().all() for tensor in pair.copy_of(1).values())


def test_a_window_without_one_usable_sample_leaves_the_permit_in_force(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    pair.push(torch.full((16, *SHAPE), float("nan")), [0] * 16)
    pair.filter()
    permit = pair.permit
    assert pair.selector.on_permit(permit).slots == ()
    pair.feed(16)
    pair.filter()
    batch = pair.selector.on_permit(permit)
    assert (batch.round, len(batch.slots)) == (1, 4)
    counts = pair.ledger.counts()
    assert counts.is_balanced
    assert counts.rejected == 8  # the other eight were filtered before anybody looked at them


def test_the_filter_goes_on_with_a_first_block_that_the_trainer_does_not_write_to(pairs):
    pair = pairs(Plan(rule="predicted"))
    pair.start()
    pair.round()
    x = torch.randn(4, *SHAPE)
    before = pair.selector._parameters.feature(x)
    for slot in (0, 1):
        pair.board.slot(slot)[:] = b"\xff" * pair.board.slot_bytes
    assert torch.equal(pair.selector._parameters.feature(x), before)


def test_evaluation_is_of_the_held_out_samples_and_of_the_permitted_version(pairs):
    pair = pairs(Plan(held_out_ratio=0.5, held_out_samples=40, slot_count=128))
    pair.start()
    for _ in range(6):
        pair.round()
    kept = pair.arena.slots_in(HELD_OUT)
    version = pair.permit.version
    pair.selector.load(version)
    pair.selector.evaluator.held_out.begin_sweep()
    while pair.selector.evaluator.held_out.is_sweeping:
        pair.selector.evaluate_some(7)
    right = probabilities(pair.copy_of(version), inputs_of(pair, kept)).argmax(dim=1)
    label = torch.tensor([pair.front.label[slot] for slot in kept])
    evaluation = pair.selector.report()["evaluation"]
    assert evaluation["sample_count"] == len(kept) == 40
    assert evaluation["accuracy"] == float((right == label).double().mean())
    assert evaluation["version"] == version


def test_budgets_change_between_windows(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    pair.round()
    pair.selector.budgets.candidates = 12
    pair.round()  # this window's filter still has the old one
    assert pair.round().facts["candidate_count"] == 12
    pair.selector.budgets.round_samples = 1000
    pair.feed(80)
    pair.filter()
    assert pair.select() is None
