"""The control arm against plain autograd training, and as a judge of a good and a bad choice."""

import pytest
import torch
from torch import Tensor

from titand.selection.candidates import CandidateSet
from titand.selection.control_arm import BLOCK_ROUNDS, ControlArm, interval_of
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.sampling import Draw
from titand.selection.selector import make_selector

CLASSES, SIZE, CANDIDATES = 4, 6, 30


def stream(generator: torch.Generator, centre: Tensor) -> tuple[Tensor, Tensor]:
    label = torch.randint(0, CLASSES, (CANDIDATES,), generator=generator)
    point = centre[label] + torch.randn(CANDIDATES, SIZE - 1, generator=generator)
    return torch.cat([point, torch.ones(CANDIDATES, 1)], dim=1), label


def test_the_taught_layer_equals_one_trained_by_autograd():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(CLASSES, SIZE, generator=generator)
    hidden, label = stream(generator, torch.randn(CLASSES, SIZE - 1, generator=generator))
    draw = Draw(torch.tensor([3, 5, 9]), torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64))
    arm = ControlArm(start, 100, generator)

    arm.compare(hidden, label, torch.ones(CANDIDATES, dtype=torch.float64), draw, rate=0.1)

    weight = start.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(hidden[draw.index] @ weight.T, label[draw.index], reduction="none")
    (gradient,) = torch.autograd.grad((draw.sample_weight.float() * loss).mean(), weight)
    torch.testing.assert_close(arm._selected, start - 0.1 * gradient)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_the_control_is_taught_as_many_samples_as_were_selected_at_the_same_rate(rate):
    # All candidates are the same, so that whichever are drawn the step is known.
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(CLASSES, SIZE, generator=generator)
    hidden, label = torch.randn(1, SIZE, generator=generator).repeat(CANDIDATES, 1), torch.full((CANDIDATES,), 2)
    arm = ControlArm(start, 100, generator)
    weight = torch.ones(CANDIDATES, dtype=torch.float64)

    arm.compare(hidden, label, weight, Draw(torch.tensor([3, 5]), torch.tensor([7.0, 9.0])), rate)

    layer = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(hidden @ layer.T, label), layer)
    torch.testing.assert_close(arm.state()["control"], start - rate * gradient)


def test_each_candidate_is_judged_and_drawn_as_often_as_it_stands_for_arrivals():
    # Two candidates, one standing for 999 arrivals: the loss is nearly its own, and it is what the control is taught.
    generator = torch.Generator().manual_seed(0)
    hidden, label = torch.randn(2, SIZE, generator=generator), torch.tensor([0, 1])
    weight = torch.tensor([999.0, 1.0], dtype=torch.float64)
    arm, taught = ControlArm(torch.zeros(CLASSES, SIZE), 100, generator), Draw(torch.tensor([1]), torch.ones(1))
    means = []
    for _ in range(2 * BLOCK_ROUNDS):
        before = arm.state()
        loss = [
            torch.nn.functional.cross_entropy(hidden @ before[name].T, label, reduction="none").double()
            for name in ("control", "selected")
        ]
        means.append(float(0.999 * (loss[0] - loss[1])[0] + 0.001 * (loss[0] - loss[1])[1]))
        arm.compare(hidden, label, weight, taught, 0.3)

    assert arm.state()["differences"].tolist() == pytest.approx(means, abs=1e-6)
    gain = arm.gain()
    assert gain is not None
    assert gain.mean < -1, "the control knows the one that matters"
    layer = torch.zeros(CLASSES, SIZE)
    for _ in means:  # of forty draws none is of the other: with this seed, as in 96 of 100
        residual = torch.softmax(hidden[0] @ layer.T, 0) - torch.nn.functional.one_hot(label[0], CLASSES)
        layer -= 0.3 * residual.outer(hidden[0])
    torch.testing.assert_close(arm.state()["control"], layer)


def test_both_layers_are_asked_before_they_are_taught():
    arm = ControlArm(torch.zeros(CLASSES, SIZE), 100, torch.Generator().manual_seed(0))
    weight = torch.ones(3, dtype=torch.float64)

    arm.compare(torch.ones(3, SIZE), torch.tensor([0, 0, 0]), weight, Draw(torch.tensor([0]), torch.ones(1)), 1.0)

    assert arm.state()["differences"].tolist() == [0.0]


def test_a_round_without_a_batch_is_passed_over():
    arm = ControlArm(torch.zeros(CLASSES, SIZE), 100, torch.Generator().manual_seed(0))
    nothing = Draw(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64))

    arm.compare(torch.ones(3, SIZE), torch.tensor([0, 1, 2]), torch.ones(3, dtype=torch.float64), nothing, 0.1)

    assert len(arm.state()["differences"]) == 0
    assert not arm.state()["control"].any()


def test_the_interval_is_that_of_a_textbook():
    # Five block means 1 to 5: mean 3, standard error sqrt(2.5 / 5), t(4) at 97.5 % = 2.776. What is over is the oldest.
    series = [100.0] * 7 + [value for value in (1.0, 2.0, 3.0, 4.0, 5.0) for _ in range(BLOCK_ROUNDS)]

    interval = interval_of(series)

    assert interval is not None
    assert interval.mean == pytest.approx(3.0)
    assert interval.margin == pytest.approx(2.776 * 0.5**0.5)
    assert interval.rounds == 5 * BLOCK_ROUNDS
    assert interval_of(series[: 2 * BLOCK_ROUNDS - 1]) is None


def test_only_the_horizon_counts():
    arm = ControlArm(torch.zeros(CLASSES, SIZE), 50, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    weight = torch.ones(CANDIDATES, dtype=torch.float64)
    for _ in range(90):
        hidden, label = stream(generator, torch.zeros(CLASSES, SIZE - 1))
        arm.compare(hidden, label, weight, Draw(torch.tensor([0]), torch.ones(1)), 0.1)

    assert len(arm.state()["differences"]) == 50


def test_a_restored_arm_goes_on_as_the_uninterrupted_one():
    generator = torch.Generator().manual_seed(1)
    rounds = [stream(generator, torch.ones(CLASSES, SIZE - 1)) for _ in range(60)]
    weight, draw = torch.ones(CANDIDATES, dtype=torch.float64), Draw(torch.tensor([0, 4]), torch.ones(2))
    chance = torch.Generator().manual_seed(2)
    first = ControlArm(torch.zeros(CLASSES, SIZE), 100, chance)
    for hidden, label in rounds[:30]:
        first.compare(hidden, label, weight, draw, 0.1)
    copy_of_chance = torch.Generator()
    copy_of_chance.set_state(chance.get_state())
    successor = ControlArm(torch.ones(CLASSES, SIZE), 100, copy_of_chance)
    successor.restore({name: tensor.clone() for name, tensor in first.state().items()})

    for arm in (first, successor):
        for hidden, label in rounds[30:]:
            arm.compare(hidden, label, weight, draw, 0.1)

    assert first.gain() == successor.gain() is not None


def judged(choose, rounds: int, weight_of_noise: float = 0.0):
    generator = torch.Generator().manual_seed(1)
    centre = 1.5 * torch.randn(CLASSES, SIZE - 1, generator=generator)
    arm = ControlArm(torch.zeros(CLASSES, SIZE), 200, torch.Generator().manual_seed(2))
    for _ in range(rounds):
        hidden, label = stream(generator, centre)
        noisy = torch.rand(CANDIDATES, generator=generator) < weight_of_noise
        label = torch.where(noisy, torch.randint(0, CLASSES, (CANDIDATES,), generator=generator), label)
        weight = torch.ones(CANDIDATES, dtype=torch.float64)
        arm.compare(hidden, label, weight, choose(hidden, label, arm, generator), rate=0.2)
    return arm.gain()


def by_cis(hidden: Tensor, label: Tensor, arm: ControlArm, generator: torch.Generator) -> Draw:
    logits = hidden @ arm._selected.T
    residual = torch.softmax(logits, 1) - torch.nn.functional.one_hot(label, CLASSES)
    loss = torch.nn.functional.cross_entropy(logits, label, reduction="none")
    count = torch.bincount(label, minlength=CLASSES)
    candidates = CandidateSet(tuple(range(CANDIDATES)), label, torch.ones(CANDIDATES, dtype=torch.float64), count)
    scores = Scores(LastLayerGradient(residual, hidden), loss, torch.softmax(logits, 1))
    return make_selector("cis").select(candidates, scores, 6, generator)


def most_wrong(hidden: Tensor, label: Tensor, arm: ControlArm, generator: torch.Generator) -> Draw:
    loss = torch.nn.functional.cross_entropy(hidden @ arm._selected.T, label, reduction="none")
    return Draw(loss.topk(6).indices, torch.ones(6, dtype=torch.float64))


def test_it_finds_for_unbiased_selection():
    gain = judged(by_cis, 400)

    assert gain is not None
    assert gain.low > 0


def test_it_finds_against_chasing_wrong_labels():
    gain = judged(most_wrong, 400, weight_of_noise=0.3)

    assert gain is not None
    assert gain.high < 0


def test_random_against_random_is_undecided():
    def random(hidden, label, arm, generator):
        return Draw(torch.randperm(CANDIDATES, generator=generator)[:6], torch.ones(6, dtype=torch.float64))

    gain = judged(random, 400)

    assert gain is not None
    assert gain.low < 0 < gain.high or abs(gain.mean) < 0.005  # without replacement is a little better


def test_candidates_that_are_not_finite_are_left_out():
    arm = ControlArm(torch.zeros(CLASSES, SIZE), 100, torch.Generator().manual_seed(0))
    hidden = torch.full((3, SIZE), float("nan"))
    weight = torch.ones(3, dtype=torch.float64)

    arm.compare(hidden, torch.tensor([0, 1, 2]), weight, Draw(torch.tensor([0]), weight[:1]), 0.1)

    assert arm._selected.isfinite().all()
    assert arm.gain() is None


def test_the_interval_covers_the_mean_of_a_correlated_series_most_of_the_time():
    generator = torch.Generator().manual_seed(3)
    covered = 0
    for _ in range(200):
        noise = torch.randn(10 * BLOCK_ROUNDS + 1, generator=generator)
        series = (noise[1:] + 0.5 * noise[:-1]).tolist()  # mean 0, neighbours correlated
        interval = interval_of(series)
        assert interval is not None
        covered += interval.low < 0 < interval.high
    assert 180 <= covered <= 199  # 95 % of 200 is 190, give or take three standard deviations
