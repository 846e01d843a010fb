"""The judge in its place: selection that harms is put to rest, the rounds go on, and it is tried again."""

import dataclasses

import torch

from tests.workers.pair import Pair, Plan, Recorder
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
    assert pair.selector.report()["control_gain"] is None
    assert not [name for name in pair.selector._judge.state() if name.startswith("arm.")], "both layers start anew"


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


def test_while_it_rests_batches_have_the_class_shares_of_the_window(pairs):
    pair = start(pairs, Harmful())
    until_it_rests(pair)
    pair.selector._random = recorder = Recorder(pair.selector._random)

    rounds(pair, REST - 1)

    for (candidates, scores), batch in zip(recorder.seen, pair.batches[-len(recorder.seen) :], strict=True):
        share = torch.zeros(3, dtype=torch.float64).index_add(0, candidates.label, candidates.stage_weight)
        share = pair.plan.batch_size * share / share.sum()
        assert scores is None
        assert all(abs(n - s) < 1 for n, s in zip(batch.facts["class_draw_counts"], share.tolist(), strict=True))
    assert len(recorder.seen) == REST - 1


def judged_alone(pair: Pair, horizon: int, rest: int) -> Judge:
    """A judge of its own over the pair's model, whose rate is different in every round."""
    payoff, generator = Payoff(horizon, rest), torch.Generator().manual_seed(6)
    return Judge(pair.selector._parameters.model, payoff, horizon, lambda round: round / 10, generator)


def test_the_selected_layer_is_taught_from_the_models_own_at_the_rate_of_the_round(pairs):
    pair = start(pairs)
    rounds(pair, 1)
    candidates, scores = pair.recorder.seen[-1]
    hidden, label = scores.gradient.hidden.clone(), candidates.label
    draw = Draw(torch.tensor([0, 2]), torch.tensor([0.5, 3.0], dtype=torch.float64))
    head = pair.selector._parameters.model.head
    head.bias.data.copy_(torch.tensor([0.5, -1.0, 2.0]))
    judge = judged_alone(pair, HORIZON, REST)

    judge.after_selection(candidates, hidden, draw, 7)

    weight, bias = (part.detach().clone().requires_grad_() for part in (head.weight, head.bias))
    loss = torch.nn.functional.cross_entropy(hidden[[0, 2], :-1] @ weight.T + bias, label[[0, 2]], reduction="none")
    gradient = torch.autograd.grad((draw.sample_weight.float() * loss).mean(), [weight, bias])
    expected = torch.cat([weight - 0.7 * gradient[0], (bias - 0.7 * gradient[1]).unsqueeze(1)], dim=1)
    torch.testing.assert_close(judge.state()["arm.selected"], expected.detach())


def test_a_variance_that_is_not_lowered_sends_it_to_rest_and_is_forgotten_after_it(pairs):
    pair = start(pairs)
    rounds(pair, 1)
    candidates, _ = pair.recorder.seen[-1]
    judge, hidden = judged_alone(pair, HORIZON, REST), torch.zeros(len(candidates.key), 3, 9)  # no control arm
    worse, better = (Draw(torch.tensor([0]), torch.ones(1), ratio) for ratio in (0.5, 2.0))

    def modes(draw, count):
        for _ in range(count):
            judge.after_selection(candidates, hidden, draw, 1)
            yield judge.report()["mode"]

    assert list(modes(worse, HORIZON)) == ["selecting"] * (HORIZON - 1) + ["resting"]
    assert judge.report()["mode_reason"] == "VARIANCE_NOT_LOWERED"
    for _ in range(REST):
        judge.after_rest()
    assert judge.report()["mode_reason"] == "TRYING_AGAIN"
    assert judge.to_plain()["ratios"] == []
    assert set(modes(better, 2 * HORIZON)) == {"selecting"}


def test_one_round_that_is_all_but_exact_does_not_speak_for_the_others(pairs):
    pair = start(pairs)
    rounds(pair, 1)
    candidates, _ = pair.recorder.seen[-1]
    judge, hidden = judged_alone(pair, HORIZON, REST), torch.zeros(len(candidates.key), 3, 9)

    for round in range(HORIZON):
        ratio = 100.0 if round == 7 else 0.5
        judge.after_selection(candidates, hidden, Draw(torch.tensor([0]), torch.ones(1), ratio), round)

    assert judge.report()["mode_reason"] == "VARIANCE_NOT_LOWERED"


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
