"""Real digits with wrong labels among them: who is suspected, in the selector as it runs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.workers.pair import Pair, Plan
from titand.config import (
    Config,
    EvaluationConfig,
    InputConfig,
    ModelConfig,
    RoundConfig,
    SelectionConfig,
    TrainingConfig,
)
from titand.demo.data import FASHION_MNIST, digits, fashion_mnist
from titand.runtime.arena import CANDIDATE, HELD_OUT
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.suspects import KEPT
from titand.workers.suspicion import Suspicion

LABELS = tuple(str(digit) for digit in range(10))
PER_WINDOW = 60


class DigitsPlan(Plan):
    """The pair, on digits."""

    input = InputConfig("uint8", (1, 8, 8), scale=1 / 16)

    @property
    def config(self) -> Config:
        return Config(
            ModelConfig("digits_cnn", LABELS, self.input),
            TrainingConfig(10, learning_rate=0.03, momentum=0.5),
            SelectionConfig("cis", 30, device="cpu", horizon_rounds=0),
            RoundConfig(50),
            evaluation=EvaluationConfig(0.05, 100, 10),
        )


class FashionPlan(DigitsPlan):
    """The same small network, on clothes."""

    input = InputConfig("uint8", (1, 28, 28), scale=1 / 255)


class WholeWindowPlan(Plan):
    """On digits, each arrival a candidate."""

    @property
    def config(self) -> Config:
        config = DigitsPlan().config
        selection = dataclasses.replace(config.selection, candidates=80)
        return dataclasses.replace(config, selection=selection, evaluation=EvaluationConfig(0.0))


@dataclasses.dataclass
class Run:
    """What became of a stream: its rows by number, which of them lie, and who was scored."""

    pair: Pair
    row: dict[int, int]
    lies: np.ndarray
    scored: set[int]

    @property
    def suspects(self) -> list[dict]:
        return self.pair.selector.evaluator.suspicion.to_plain()["suspects"]

    def is_wrong(self, number: int) -> bool:
        return bool(self.lies[self.row[number]])


def run(pairs, wrong_ratio: float, windows: int, seed: int = 0, plan=DigitsPlan, data=digits, kept: int = KEPT) -> Run:
    """Push samples in random order, each as often as the others, some with a wrong label."""
    samples = data().train
    generator = np.random.default_rng(seed)
    label = samples.label.astype(np.int64)
    lies = generator.random(len(label)) < wrong_ratio
    said = np.where(lies, (label + generator.integers(1, 10, len(label))) % 10, label)
    pair = pairs(plan(slot_count=1024))
    pair.start()
    pair.selector.evaluator.suspicion._suspects._capacity = kept
    order = np.concatenate([generator.permutation(len(label)) for _ in range(windows * PER_WINDOW // len(label) + 1)])
    run = Run(pair, {}, lies, set())
    for window in range(windows):
        rows = order[window * PER_WINDOW : (window + 1) * PER_WINDOW]
        run.row.update(enumerate(rows.tolist(), start=pair.pushed + 1))
        assert pair.push(torch.from_numpy(samples.input[rows]), said[rows].tolist()) == PER_WINDOW
        pair.filter()
        pair.selector.evaluate_some(pair.permit.round)
        run.scored |= {pair.arena.number[slot] for slot in pair.arena.slots_in(CANDIDATE)}
        if pair.select() is not None:
            pair.train()
        pair.ledger.counts()
    return run


@pytest.fixture(scope="module")
def lying(module_pairs):
    """5 % wrong labels, 150 windows."""
    return run(module_pairs, 0.05, 150)


def by_label(run: Run) -> list[dict]:
    return [each for each in run.suspects if not each["twin"]]


def test_most_who_are_suspected_have_a_wrong_label(lying):
    listed = by_label(lying)
    assert len(listed) >= 20
    right = [lying.is_wrong(each["number"]) for each in listed]
    assert sum(right) / len(right) >= 0.9
    assert all(right[:10])


def test_the_class_that_the_model_would_have_said_is_the_right_one(lying):
    truth = digits().train.label
    wrong = [each for each in by_label(lying) if lying.is_wrong(each["number"])]
    guessed = [each["likeliest"] == truth[lying.row[each["number"]]] for each in wrong]
    assert sum(guessed) / len(guessed) >= 0.9


def test_right_labels_are_hardly_ever_suspected(module_pairs):
    clean = run(module_pairs, 0.0, 150)
    assert len(clean.scored) > 4000
    assert len(by_label(clean)) < 0.005 * len(clean.scored)


def test_held_out_samples_are_looked_at_too(lying):
    pair = lying.pair
    held_out = {pair.arena.number[slot] for slot in pair.arena.slots_in(HELD_OUT)}
    wrong = {number for number in held_out if lying.is_wrong(number)}
    suspected = {each["number"] for each in by_label(lying)}
    assert wrong & suspected
    assert len(suspected & held_out - wrong) <= 2


def test_a_corrected_label_clears_its_sample(lying):
    pair = lying.pair
    (number, slot) = next(
        (each["number"], slot)
        for each in by_label(lying)
        for slot in pair.arena.slots_in(HELD_OUT)
        if pair.arena.number[slot] == each["number"] and lying.is_wrong(each["number"])
    )
    truth = int(digits().train.label[lying.row[number]])
    assert pair.selector.correct(slot, number, truth) == "corrected"
    assert number not in {each["number"] for each in lying.suspects}


def test_copies_are_named_with_whom_they_copy(pairs):
    samples = digits().train
    pair = pairs(WholeWindowPlan(slot_count=1024))
    pair.start()
    x, label = torch.from_numpy(samples.input[:100].copy()), samples.label[:100].astype(int)
    x[80], label[80] = x[3], (label[3] + 1) % 10  # the same picture, another label
    x[90], label[90] = x[40], label[40]
    for start, stop in ((0, 50), (50, 100)):
        pair.push(x[start:stop], label[start:stop].tolist())
        pair.filter()
        assert pair.select() is not None
        pair.train()
    twins = {each["number"]: each for each in pair.selector.evaluator.suspicion.to_plain()["suspects"] if each["twin"]}
    assert {number: (each["twin"], each["twin_label"]) for number, each in twins.items()} == {
        81: (4, int(label[3])),
        91: (41, int(label[40])),
    }
    assert twins[81]["score"] > twins[91]["score"]


def test_what_is_not_finite_teaches_nothing_and_is_not_suspected():
    generator = torch.Generator().manual_seed(1)
    suspicion = Suspicion(3, generator)
    for window in range(20):
        label = torch.randint(3, (12,), generator=generator)
        hidden = torch.randn(12, 5, generator=generator)
        probability = torch.softmax(torch.randn(12, 3, generator=generator), dim=1)
        hidden[window % 12], probability[(window + 1) % 12] = math.nan, math.nan
        loss = -probability.gather(1, label[:, None])[:, 0].log()
        scores = Scores(LastLayerGradient(probability.clone(), hidden), loss, probability, hidden)
        suspicion.on_scored(range(12 * window + 1, 12 * window + 13), label, scores)
    place = suspicion._suspects._place
    assert place.weight.sum() > 100
    assert place.mean.isfinite().all()
    assert all(math.isfinite(each["score"]) for each in suspicion.to_plain()["suspects"])


@pytest.mark.nightly
@pytest.mark.parametrize("wrong_ratio", [0.05, 0.0])
@pytest.mark.parametrize("name", ["digits", "fashion-mnist"])
def test_the_figures_of_the_page(pairs, name, wrong_ratio):
    """What docs/how-to/find-bad-labels.md says; run it with -s to see the figures."""
    if name == "fashion-mnist" and not FASHION_MNIST.exists():
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
    plan, data = {"digits": (DigitsPlan, digits), "fashion-mnist": (FashionPlan, lambda: fashion_mnist(FASHION_MNIST))}[
        name
    ]
    found = run(pairs, wrong_ratio, 1000, plan=plan, data=data, kept=10**6)
    listed = [found.is_wrong(each["number"]) for each in by_label(found)]
    wrong = sum(map(found.is_wrong, found.scored))
    stages = found.pair.selector.stages.to_plain()
    print(
        f"\n{name}, {wrong_ratio:.0%} wrong: {len(found.scored)} scored, {wrong} wrong; {len(listed)} listed,"
        f" {sum(listed)} wrong, first 40: {sum(listed[:40])}; suspect {stages['suspect']['p50'] * 1e6:.0f} us,"
        f" score {stages['score']['p50'] * 1e6:.0f} us, select {stages['select']['p50'] * 1e6:.0f} us"
    )
    if wrong_ratio:
        assert sum(listed[:40]) >= 38
        assert sum(listed) > 0.6 * wrong
    else:
        assert len(listed) < 0.03 * len(found.scored)
