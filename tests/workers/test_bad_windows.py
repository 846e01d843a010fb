"""Windows that no textbook stream has, through filter, scores, choice and step of the real workers."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.workers.pair import CLASSES, SHAPE, Pair, Plan
from titand.config import POLICIES
from titand.runtime.arena import INVALID

ALL = Plan(held_out_ratio=0.0, candidates=16)
UNSCORED = ("uniform", "stratified")


def normal(pair: Pair, count: int) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=pair.generator)


def one_class(pair: Pair) -> None:
    pair.push(normal(pair, 16), [1] * 16)


def a_class_never_seen(pair: Pair) -> None:
    pair.push(normal(pair, 16), [0, 2] * 8)


def a_class_seen_once(pair: Pair) -> None:
    pair.push(normal(pair, 16), [0] * 15 + [2])


def identical_samples(pair: Pair) -> None:
    pair.push(torch.ones(16, *SHAPE), [0] * 16)


def identical_samples_of_contradicting_labels(pair: Pair) -> None:
    pair.push(torch.ones(16, *SHAPE), [number % CLASSES for number in range(16)])


WINDOWS = [
    one_class,
    a_class_never_seen,
    a_class_seen_once,
    identical_samples,
    identical_samples_of_contradicting_labels,
]


def check_round(pair: Pair, rows: int) -> None:
    """Choose and train: rows at most once, weights that mean something, a finite model, nothing unaccounted for."""
    pair.filter()
    batch = pair.select()
    assert batch is not None
    assert len(set(batch.slots)) == len(batch.slots)
    assert 1 <= len(batch.slots) <= rows if pair.plan.policy == "is" else len(batch.slots) == rows
    assert all(0 < weight < math.inf for weight in batch.sample_weights)
    pair.train()
    assert pair.trainer.refused_updates == 0
    check_sound(pair)


def check_sound(pair: Pair) -> None:
    parts = [pair.copy_of(pair.trainer.version), pair.selector._filter.state()]
    assert all(tensor.isfinite().all() for part in parts for name, tensor in part.items() if name != "generator")
    assert pair.ledger.counts().is_balanced


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.__name__)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_gets_a_full_batch_out_of_it_and_goes_on(pairs, policy, window):
    pair = pairs(dataclasses.replace(ALL, policy=policy))
    pair.start()
    window(pair)
    check_round(pair, 4)
    pair.feed(16)
    check_round(pair, 4)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.__name__)
@pytest.mark.parametrize("rule", ["stratified", "predicted", "uniform", "rep-div"])
def test_every_rule_of_the_filter_gets_candidates_out_of_it_and_goes_on(pairs, rule, window):
    pair = pairs(dataclasses.replace(ALL, rule=rule, candidates=8))
    pair.start()
    for push in (window, window, lambda pair: pair.feed(16)):
        push(pair)
        check_round(pair, 4)


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy not in UNSCORED])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_every_policy_that_scores_drops_what_is_not_finite_and_counts_it(pairs, policy, value):
    pair = pairs(dataclasses.replace(ALL, policy=policy))
    pair.start()
    x = normal(pair, 16)
    x[5, 1] = value
    pair.push(x, [number % CLASSES for number in range(16)])
    check_round(pair, 4)
    assert pair.arena.state[5] == INVALID
    assert pair.ledger.counts().rejected == pair.selector.invalid_count == pair.selector.report()["invalid_count"] == 1
    assert [item["code"] for item in pair.selector.health()] == ["SCORES_NOT_FINITE"]


@pytest.mark.parametrize("policy", UNSCORED)
def test_where_nothing_is_scored_the_trainer_refuses_the_step_and_says_so(pairs, policy):
    pair = pairs(dataclasses.replace(ALL, policy=policy))
    pair.start()
    pair.push(torch.full((16, *SHAPE), math.nan), [number % CLASSES for number in range(16)])
    pair.filter()
    pair.select()
    pair.train()
    assert pair.trainer.refused_updates == 1
    check_sound(pair)


@pytest.mark.parametrize("policy", POLICIES)
def test_where_all_norms_are_zero_the_batch_is_random_and_the_model_stays(pairs, policy):
    """The board's model gets a bias that makes it as sure as float32 can be, of the only label there is."""
    pair = pairs(dataclasses.replace(ALL, policy=policy, momentum=0.0))
    pair.start()
    bias = next(name for name in reversed(pair.copy_of(0)) if name.endswith("bias"))
    pair.layout.views(pair.board.slot(0))[bias][1] = 1e6
    one_class(pair)
    check_round(pair, 4)
    _, scores = pair.recorder.seen[-1]
    if policy in UNSCORED:
        assert scores is None
    else:
        assert scores.gradient.norm().max() == 0
        before, after = pair.copy_of(0), pair.copy_of(1)
        assert all(torch.equal(before[name], after[name]) for name in before if "weight" in name)
    assert pair.batches[-1].facts["variance_ratio"] is None


@pytest.mark.parametrize("policy", POLICIES)
def test_a_batch_that_is_larger_than_the_window_is_the_window(pairs, policy):
    pair = pairs(dataclasses.replace(ALL, policy=policy, batch_size=16, round_samples=5))
    pair.start()
    pair.feed(5)
    check_round(pair, 5)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_window_of_one_sample_is_trained_on_with_weight_one(pairs, policy):
    pair = pairs(dataclasses.replace(ALL, policy=policy, round_samples=1))
    pair.start()
    for _ in range(3):
        pair.feed(1)
        check_round(pair, 1)
        assert pair.batches[-1].sample_weights == pytest.approx((1.0,))


@pytest.mark.parametrize("rule", ["stratified", "predicted", "uniform", "rep-div"])
def test_more_classes_than_slots_and_draws_are_no_trouble(pairs, rule):
    pair = pairs(dataclasses.replace(ALL, rule=rule, candidates=2, batch_size=2))
    pair.start()
    for _ in range(5):
        pair.feed(16)
        check_round(pair, 2)
        assert pair.batches[-1].facts["candidate_count"] == 2


@pytest.mark.parametrize("rule", ["stratified", "predicted"])
def test_a_class_that_appears_in_mid_stream_is_among_the_next_batch(pairs, rule):
    pair = pairs(dataclasses.replace(ALL, rule=rule, candidates=8))
    pair.start()
    for _ in range(10):
        pair.push(normal(pair, 16), [0, 1] * 8)
        check_round(pair, 4)
        assert pair.batches[-1].facts["class_draw_counts"][2] == 0
    pair.push(normal(pair, 16), [0, 1] * 6 + [2] * 4)
    check_round(pair, 4)
    assert pair.batches[-1].facts["class_draw_counts"][2] >= 1
