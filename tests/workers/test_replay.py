"""Replay: what is kept is balanced and uniform, and only what is absent comes back."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from tests.workers.pair import Plan
from titand.records import Batch
from titand.runtime.arena import SELECTED
from titand.workers.replay import Replay


def replay_of(capacity: int = 20, share: float = 0.5, classes: int = 4, batch: int = 10, seed: int = 0) -> Replay:
    return Replay(capacity, share, classes, batch, torch.Generator().manual_seed(seed))


def samples(first: int, count: int, label: int):
    """Raw samples that hold their own number."""
    return torch.arange(first, first + count).view(count, 1), torch.full((count,), label)


def numbers(replay: Replay, label: int) -> list[int]:
    return sorted(int(sample) for sample in replay._kept[label])


def test_room_is_shared_among_the_classes_that_came():
    replay = replay_of(capacity=12)
    for round in range(1, 30):
        replay.keep(*samples(100 * round, 5, label=0), round)
    assert len(replay) == len(numbers(replay, 0)) == 12
    replay.keep(*samples(0, 8, label=2), 30)
    replay.keep(*samples(10, 8, label=3), 31)
    assert [len(numbers(replay, label)) for label in range(4)] == [4, 0, 4, 4]


def test_each_sample_of_a_class_is_kept_with_the_same_chance():
    kept = Counter()
    for seed in range(600):
        replay = replay_of(capacity=5, classes=1, seed=seed)
        for round in range(25):
            replay.keep(*samples(2 * round, 2, label=0), round)
        kept.update(numbers(replay, 0))
    expected, allowance = 600 * 5 / 50, 5 * (600 * 0.1 * 0.9) ** 0.5
    assert set(kept) == set(range(50))
    assert all(abs(count - expected) < allowance for count in kept.values())


def test_classes_that_come_are_not_replayed_and_absent_ones_are_alone():
    replay = replay_of()  # patience: 5 * 4 / 10 = 2 rounds
    for label in range(3):
        replay.keep(*samples(100 * label, 8, label), 1)
    assert replay.draw(2) is None
    assert replay.draw(3) is None
    replay.keep(*samples(900, 8, label=1), 3)
    raw, label = replay.draw(4)
    assert len(raw) == len(label) == 10
    assert set(label.tolist()) == {0, 2}
    assert all(int(x) // 100 == y for x, y in zip(raw, label.tolist(), strict=True))


@pytest.mark.parametrize(("share", "count"), [(0.5, 10), (0.2, 2), (0.75, 30), (0.01, 0)])
def test_the_share_is_of_the_whole_batch(share, count):
    replay = replay_of(share=share)
    replay.keep(*samples(0, 8, label=0), 1)
    again = replay.draw(10)
    assert (0 if again is None else len(again[1])) == count


def test_what_is_kept_does_not_change_with_the_memory_that_it_came_from():
    replay = replay_of()
    raw, label = samples(0, 5, label=1)
    replay.keep(raw, label, 1)
    raw.fill_(-1)
    assert numbers(replay, 1) == [0, 1, 2, 3, 4]


def test_a_round_with_replay_is_a_step_on_both_together(pairs):
    """The oracle is the gradient by autograd over the batch and what the reservoir gave."""
    pair = pairs(Plan(held_out_ratio=0.0, momentum=0.0))
    pair.start()
    pair.feed(64)
    replay = replay_of(capacity=50, classes=3, batch=4)
    pair.trainer._replay = replay
    by_class = [[slot for slot in range(64) if pair.arena.label[slot] == label] for label in range(3)]

    def train(round: int, slots: list[int]) -> None:
        for slot in slots:
            pair.arena.round[slot], pair.arena.state[slot] = round, SELECTED
        pair.trainer.on_batch(Batch(round, tuple(slots), (2.0, 1.0, 0.5, 0.5), max(0, round - 2), {}), 0.0)

    for round in range(1, 6):  # patience: 5 * 3 / 4 = 4 rounds
        train(round, by_class[0][4 * (round % 2) :][:4])
    for round in range(6, 10):
        train(round, by_class[1][4 * (round % 2) :][:4])
    assert pair.trainer.last_round["replayed"] == 0
    before = pair.copy_of(9)
    state = replay._generator.get_state()
    train(10, by_class[1][:4])
    assert pair.trainer.last_round["replayed"] == 4

    replay._generator.set_state(state)
    again, again_label = replay.draw(10)
    raw = [torch.frombuffer(bytearray(pair.front.sample(slot)), dtype=torch.float32) for slot in by_class[1][:4]]
    x = torch.cat([torch.stack(raw), again])
    weight = torch.tensor([2.0, 1.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0])
    label = torch.cat([torch.ones(4, dtype=torch.int64), again_label])
    assert set(again_label.tolist()) == {0}
    model = pair.trainer._learner.model
    twin = {name: before[name].clone().requires_grad_() for name, _ in model.named_parameters()}
    logits = torch.func.functional_call(model, twin, ((x - 0.5) / 2.0,))
    loss = (weight * torch.nn.functional.cross_entropy(logits, label, reduction="none")).mean()
    gradient = dict(zip(twin, torch.autograd.grad(loss, list(twin.values())), strict=True))
    published = pair.copy_of(10)
    for name, value in twin.items():
        torch.testing.assert_close(published[name], value.detach() - 0.05 * gradient[name], msg=name)
