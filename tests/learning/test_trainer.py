"""A step against autograd of the formula, and resuming bit for bit."""

import math

import pytest
import torch
from torch import nn

from tests.learning.specs import DIGITS, spec_of
from titand.learning.models.zoo import ARCHITECTURES, build
from titand.learning.optimizers import build_optimizer
from titand.learning.schedules import constant, step
from titand.learning.state import StateLayout, copy, model_tensors
from titand.learning.trainer import Learner


def learner_of(model, schedule=None, optimizer="sgd", **options):
    return Learner(model, build_optimizer(optimizer, dict(model.named_parameters()), **options), schedule or step(0.1))


def digits_model(seed=1, architecture="digits_cnn", **options):
    return build(spec_of(architecture, DIGITS, **options), seed)


def batch(round, size=10):
    generator = torch.Generator().manual_seed(round)
    return (
        torch.randn(size, *DIGITS, generator=generator),
        torch.randint(10, (size,), generator=generator),
        torch.rand(size, generator=generator, dtype=torch.float64) * 2,
    )


def test_a_step_goes_down_the_weighted_mean_of_the_losses():
    model, reference = digits_model().double(), digits_model().double()
    x, label, weight = batch(1)
    x = x.double()

    report = learner_of(model, constant(0.5)).step(x, label, weight, round=1)

    log_probability = torch.log_softmax(reference(x), dim=1)
    cross_entropy = [-log_probability[i, label[i]] for i in range(10)]
    loss = sum(w * ce for w, ce in zip(weight, cross_entropy, strict=True)) / 10
    gradient = torch.autograd.grad(loss, list(reference.parameters()))
    for now, before, g in zip(model.parameters(), reference.parameters(), gradient, strict=True):
        torch.testing.assert_close(now, before - 0.5 * g)
    assert report.loss == pytest.approx(loss.item())
    assert report.plain_loss == pytest.approx(sum(cross_entropy).item() / 10)
    assert report.gradient_norm == pytest.approx(math.sqrt(sum(float((g * g).sum()) for g in gradient)))
    assert report.rate == 0.5
    assert report.finite


def test_a_weight_of_two_is_the_sample_twice():
    twice, weighted = digits_model(), digits_model()
    x, label, _ = batch(1, size=3)
    again = torch.tensor([0, 0, 1, 2])

    learner_of(twice, constant(0.1)).step(x[again], label[again], torch.ones(4), round=1)
    report = learner_of(weighted, constant(0.1)).step(x, label, torch.tensor([1.5, 0.75, 0.75]), round=1)

    for a, b in zip(twice.parameters(), weighted.parameters(), strict=True):
        torch.testing.assert_close(a * 1, b * 1)
    assert report.finite


def test_the_round_sets_the_rate():
    learner = learner_of(digits_model(), step(0.1, decay=0.5, every=10))

    assert [learner.step(*batch(r), round=r).rate for r in (1, 10, 11, 21)] == [0.1, 0.1, 0.05, 0.025]


@pytest.mark.parametrize(
    ("optimizer", "options"), [("sgd", {}), ("sgd", {"momentum": 0.9, "weight_decay": 1e-3}), ("adam", {})], ids=str
)
@pytest.mark.parametrize("architecture", ["digits_cnn", "mobilenet_v1"])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(architecture, optimizer, options):
    schedule = step(0.05, decay=0.9, every=3)
    shape = {"width": 0.25} if architecture == "mobilenet_v1" else {}
    whole = learner_of(digits_model(1, architecture, **shape), schedule, optimizer, **options)
    for r in range(1, 13):
        whole.step(*batch(r), round=r)

    first = learner_of(digits_model(1, architecture, **shape), schedule, optimizer, **options)
    for r in range(1, 8):
        first.step(*batch(r), round=r)
    layout = StateLayout.of(first.tensors())
    file = bytearray(layout.size_bytes)
    copy(first.tensors(), layout.views(file))
    second = learner_of(digits_model(2, architecture, **shape), schedule, optimizer, **options)
    copy(layout.views(bytes(file)), second.tensors())
    for r in range(8, 13):
        second.step(*batch(r), round=r)

    for name, tensor in whole.tensors().items():
        assert torch.equal(second.tensors()[name], tensor), name


@pytest.mark.parametrize("poison", ["input", "weight", "parameter"])
def test_a_step_that_is_not_finite_changes_nothing(poison):
    model = digits_model(1, "mobilenet_v1", width=0.25)
    learner = learner_of(model, momentum=0.9)
    learner.step(*batch(1), round=1)
    x, label, weight = batch(2)
    if poison == "input":
        x[3, 0, 0, 0] = math.nan
    elif poison == "weight":
        weight[3] = math.inf
    else:
        with torch.no_grad():
            model.head.weight[0, 0] = 1e38
    before = {name: tensor.detach().clone() for name, tensor in learner.tensors().items()}

    report = learner.step(x, label, weight, round=2)

    assert not report.finite
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.tensors().items())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_learns_a_batch_by_heart(architecture):
    options = {"width": 0.25} if architecture == "mobilenet_v1" else {}
    learner = learner_of(digits_model(1, architecture, **options), constant(0.1))
    x, label, _ = batch(1, size=6)

    losses = (learner.step(x, label, torch.ones(6), round=r).plain_loss for r in range(1, 41))

    first = next(losses)
    assert any(loss < first / 4 for loss in losses)


@pytest.mark.parametrize("architecture", ["mobilenet_v1", "resnet34"])
def test_a_batch_of_one_can_be_trained_on(architecture):
    model = digits_model(1, architecture)
    before = {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()}

    report = learner_of(model).step(*batch(1, size=1), round=1)

    assert report.finite
    assert not torch.equal(model.head.weight, before["head.weight"])
    for name, tensor in model.named_buffers():
        assert torch.equal(tensor, before[name])  # one sample has no statistics to speak of


def test_frozen_parameters_stay():
    model = digits_model()
    model.first_block.requires_grad_(False)
    before = [p.clone() for p in model.first_block.parameters()]
    learner = Learner(
        model, build_optimizer("sgd", {n: p for n, p in model.named_parameters() if p.requires_grad}), constant(0.1)
    )

    learner.step(*batch(1), round=1)

    assert all(torch.equal(a, b) for a, b in zip(before, model.first_block.parameters(), strict=True))
    assert isinstance(model.first_block, nn.Module)
