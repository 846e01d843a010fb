"""The judge in its place: selection that harms is put to rest, the rounds go on, and it is tried again."""

import dataclasses

import torch

from tests.workers.pair import Pair, Plan
from titand.selection.baselines import high_loss
from titand.selection.payoff import Payoff
from titand.selection.sampling import Draw
from titand.workers.judge import Judge

HORIZON, REST = 60, 40


class Harmful:
    """Chases the largest losses, which are the wrong labels."""

    needs_scores = True

    def select(self, candidates, scores, batch_size, generator) -> Draw:
        return high_loss(candidates, scores, batch_size, generator)


def feed_noisy(pair: Pair, count: int) -> None:
    label = torch.randint(3, (count,), generator=pair.generator)
    x = torch.randn(count, 6, generator=pair.generator) + 2 * torch.eye(3, 6)[label]
    wrong = torch.rand(count, generator=pair.generator) < 0.3
    pair.push(x, torch.where(wrong, torch.randint(3, (count,), generator=pair.generator), label).tolist())


def start(pairs, selector=None) -> Pair:
    pair = pairs(Plan(momentum=0.0, held_out_ratio=0.0))
    pair.start()
    generator = torch.Generator().manual_seed(5)
    pair.selector._judge = Judge(
        pair.selector._parameters.model, Payoff(HORIZON, REST), HORIZON, lambda round: 0.2, generator
    )
    if selector is not None:
        pair.selector._selector = selector
    return pair


def rounds(pair: Pair, count: int) -> list[str]:
    """Go through rounds of noisy samples; return the mode after each."""
    modes = []
    for _ in range(count):
        while not pair.selector.is_window_ready:
            feed_noisy(pair, 32)
            pair.filter()
        pair.select()
        pair.train()
        modes.append(pair.selector.report()["mode"])
    return modes


def until_it_rests(pair: Pair) -> int:
    """Return the rounds that it took."""
    count = 0
    while "resting" not in rounds(pair, 1):
        count += 1
        assert count < 5 * HORIZON
    return count + 1


def test_selection_that_harms_rests_after_the_horizon_and_is_tried_again_after_the_rest(pairs):
    pair = start(pairs, Harmful())

    assert until_it_rests(pair) >= HORIZON
    modes = rounds(pair, REST)

    assert modes == ["resting"] * (REST - 1) + ["selecting"]
    assert pair.selector.report()["mode_reason"] == "TRYING_AGAIN"


def test_while_it_rests_nothing_is_scored_and_every_round_has_a_full_batch(pairs):
    pair = start(pairs, Harmful())
    until_it_rests(pair)
    assert pair.selector.report()["mode_reason"] == "CONTROL_ARM_WINS"
    scored = pair.selector.stages.to_plain()["score"]["count"]

    rounds(pair, REST - 1)

    assert pair.selector.stages.to_plain()["score"]["count"] == scored
    assert all(len(batch.slots) == pair.plan.batch_size for batch in pair.batches)
    assert pair.batches[-1].facts["variance_ratio"] is None
    assert pair.ledger.counts().is_balanced


def test_the_figures_that_sent_it_to_rest_stay_in_sight(pairs):
    pair = start(pairs, Harmful())

    until_it_rests(pair)
    rounds(pair, 5)

    mean, margin, covered = pair.selector.report()["control_gain"]
    assert mean + margin <= 0
    assert covered <= HORIZON


def test_class_importance_sampling_is_left_on(pairs):
    pair = start(pairs)

    assert set(rounds(pair, 3 * HORIZON)) == {"selecting"}


def test_a_head_that_is_not_linear_goes_without_a_control_arm(pairs):
    pair = start(pairs)
    rounds(pair, 1)
    judge = pair.selector._judge
    candidates, scores = pair.recorder.seen[-1]
    hidden = torch.zeros(len(candidates.key), 3, 9)

    judge.after_selection(dataclasses.replace(candidates), hidden, Draw(torch.tensor([0]), torch.ones(1)), 1)

    assert scores.gradient.hidden.dim() == 2
    assert judge.report()["control_gain"] is None
