"""A run that is stopped and resumed equals the one that was not, bit for bit: parameters, statistics, choices."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import torch as safetensors

from tests.workers.pair import CLASSES, SHAPE, Pair, Plan
from titand.runtime.arena import recover_slots
from titand.runtime.image import image_of, restore_image
from titand.workers.assembly import restore_selector, selector_state_bytes
from titand.workers.resuming import batch_from_plain, batch_to_plain

PLANS = {
    "cis": Plan(held_out_ratio=0.2, held_out_samples=6, slot_count=128),
    "predicted": Plan(rule="predicted", held_out_ratio=0.2, slot_count=128),
    "rep-div": Plan(rule="rep-div", slot_count=128),
    "uniform": Plan(policy="uniform", slot_count=128),
    "averaged": Plan(average=0.9, slot_count=128),
}
# What happens one after the other: samples come, the filter looks at them, a batch is chosen, it is trained on.
STEPS = st.lists(st.sampled_from(["feed", "filter", "select", "train"]), min_size=4, max_size=30)


@dataclass
class Diary:
    """Everything that was decided, by sample number, and everything that is known in the end."""

    batches: list[Any] = field(default_factory=list)
    fates: dict[int, int] = field(default_factory=dict)
    end: dict[str, bytes] = field(default_factory=dict)

    def note(self, pair: Pair) -> None:
        """Take down where every sample stands."""
        for slot, state in enumerate(pair.arena.state):
            if state:
                self.fates[pair.arena.number[slot]] = state

    def close(self, pair: Pair) -> None:
        """Take down all that the next round would depend on."""
        self.note(pair)
        state = safetensors.load(selector_state_bytes(pair.selector))
        self.end = {name: tensor.numpy().tobytes() for name, tensor in state.items()}
        self.end["parameters"] = bytes(pair.trainer.state())


def take(pair: Pair) -> None:
    """Let the trainer take the batch: it answers with the next permit, which the selector reads at once."""
    if pair.batch is not None and pair.permit is None:
        pair.permit = pair.trainer.permit_after(pair.batch)
        pair.selector.load(pair.permit.version)


def live(pair: Pair, steps: list[str], diary: Diary) -> None:
    """Do the steps that can be done."""
    for step in steps:
        if step == "feed":
            label = torch.randint(CLASSES, (7,), generator=pair.generator)
            x = torch.randn(7, *SHAPE, generator=pair.generator) + 3 * torch.eye(CLASSES, SHAPE[0])[label]
            pair.push(x, label.tolist())
        elif step == "filter":
            pair.filter()
        elif step == "select" and pair.batch is None and (batch := pair.select()) is not None:
            diary.batches.append((batch.round, pair.numbers(batch), batch.sample_weights, batch.version))
        elif step == "train" and pair.batch is not None:
            take(pair)
            batch, pair.batch = pair.batch, None
            pair.trainer.on_batch(batch, 0.0)
        diary.note(pair)


def resumed(before: Pair, after: Pair) -> Pair:
    """Stop a pair in order, put its checkpoint through bytes, and start another one from it."""
    version, batch = before.trainer.version, before.batch
    image = image_of(before.arena, with_samples=True)
    state, selector = bytes(before.trainer.state()), selector_state_bytes(before.selector, with_window=True)
    in_hand = json.loads(json.dumps(batch_to_plain(batch, before.arena))) if batch else None
    previous = None if batch else before.trainer.previous_state(before.permit)
    previous = None if previous is None else memoryview(bytes(previous))
    restore_image(after.front, image, version, in_hand["round"] if in_hand else 0)
    after.pushed, after.generator = before.pushed, before.generator
    after.start(None, memoryview(state), version, previous, selector, in_hand)
    return after


def compare(plan: Plan, first: list[str], second: list[str], pairs) -> Diary:
    """Let one pair live without, another with a stop in between."""
    whole, parts = Diary(), Diary()
    one, other = pairs(plan), pairs(plan)
    for pair, diary in ((one, whole), (other, parts)):
        pair.start()
        live(pair, first, diary)
    take(one)
    other = resumed(other, pairs(plan))
    live(one, second, whole)
    live(other, second, parts)
    whole.close(one)
    parts.close(other)
    assert parts.batches == whole.batches
    assert parts.fates == whole.fates
    assert parts.end.keys() == whole.end.keys()
    for name, content in whole.end.items():
        assert parts.end[name] == content, name
    return whole


ROUND = ["feed", "feed", "feed", "feed", "filter", "select", "train"]


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("cut", range(len(ROUND)))
def test_a_resumed_run_equals_the_uninterrupted_one_wherever_it_was_stopped(pairs, name, cut):
    steps = ROUND * 60
    whole = compare(PLANS[name], steps[: 30 * len(ROUND) + cut], steps[30 * len(ROUND) + cut :], pairs)
    assert len(whole.batches) > 40


@given(STEPS, STEPS)
@settings(max_examples=40, deadline=None)
def test_it_does_so_in_whatever_order_things_happen(first, second):
    made = []

    def make(plan: Plan) -> Pair:
        made.append(Pair(plan))
        return made[-1]

    compare(PLANS["cis"], first, [*second, *ROUND * 3], make)
    for pair in made:
        pair.close()


def test_a_resting_judge_goes_on_resting(pairs):
    plan = dataclasses.replace(PLANS["cis"], momentum=0.0)
    compare(plan, ROUND * 50, ROUND * 50, pairs)


def test_a_window_whose_candidates_are_not_there_is_filtered_anew(pairs):
    before, after = pairs(PLANS["cis"]), pairs(PLANS["cis"])
    before.start()
    live(before, ["feed", "feed", "filter"], Diary())
    state = selector_state_bytes(before.selector, with_window=True)
    after.start()
    restore_selector(after.selector, state)
    assert after.selector.window_size == 0
    assert not after.selector.candidates
    assert recover_slots(after.arena, 0, 0, after.selector.candidates) == 0


def test_a_batch_whose_samples_are_gone_is_not_resumed(pairs):
    pair = pairs(PLANS["cis"])
    pair.start()
    live(pair, ROUND[:-1], Diary())
    plain = batch_to_plain(pair.batch, pair.arena)
    assert batch_from_plain(plain, pair.arena) == dataclasses.replace(pair.batch, facts=plain["facts"])
    assert batch_from_plain({**plain, "numbers": [*plain["numbers"], 10**6]}, pair.arena) is None
