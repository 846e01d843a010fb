"""Our SGD against torch.optim.SGD, and torch's others with their state outside."""

import itertools

import pytest
import torch

from titand.errors import ConfigError
from titand.learning.optimizers import TORCH_SLOTS, build_optimizer
from titand.learning.state import StateLayout, bind, copy

SHAPES = {"weight": (4, 3), "bias": (4,), "scale": ()}
SGD_OPTIONS = [
    {"momentum": m, "weight_decay": w, "nesterov": n}
    for m, w, n in itertools.product((0.0, 0.9), (0.0, 1e-2), (False, True))
    if m or not n
]


def parameters(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator, requires_grad=True) for name, shape in SHAPES.items()}


def gradients(step):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=generator) for shape in SHAPES.values()]


def walk(optimizer, first, last):
    for step in range(first, last):
        optimizer.step(gradients(step), rate=0.1 / (1 + step))


def walk_torchs(optimizer, last):
    """The same walk, by torch."""
    (group,) = optimizer.param_groups
    for step in range(last):
        group["lr"] = 0.1 / (1 + step)
        for parameter, gradient in zip(group["params"], gradients(step), strict=True):
            parameter.grad = gradient
        optimizer.step()


@pytest.mark.parametrize("options", SGD_OPTIONS, ids=str)
def test_sgd_takes_torchs_steps(options):
    ours, theirs = parameters(), parameters()
    reference = torch.optim.SGD(theirs.values(), lr=1.0, **options)

    walk(build_optimizer("sgd", ours, **options), 0, 20)
    walk_torchs(reference, 20)

    for name in SHAPES:
        torch.testing.assert_close(ours[name], theirs[name])


@pytest.mark.parametrize("name", TORCH_SLOTS)
def test_zero_filled_state_is_torchs_own_beginning(name):
    ours, theirs = parameters(), parameters()
    kind = getattr(torch.optim, TORCH_SLOTS[name][0])
    reference = kind(theirs.values(), lr=1.0)

    walk(build_optimizer(name, ours), 0, 5)
    walk_torchs(reference, 5)

    for parameter in SHAPES:
        torch.testing.assert_close(ours[parameter], theirs[parameter])
    assert set(reference.state[theirs["bias"]]) == set(TORCH_SLOTS[name][1])


@pytest.mark.parametrize(
    ("name", "options"),
    [("sgd", {"momentum": 0.9}), ("adam", {}), ("adamw", {"weight_decay": 0.1}), ("adagrad", {}), ("rmsprop", {})],
)
def test_a_walk_continues_from_its_tensors_bit_for_bit(name, options):
    whole, broken, resumed = parameters(), parameters(), parameters(seed=2)
    walk(build_optimizer(name, whole, **options), 0, 10)
    first_half = build_optimizer(name, broken, **options)
    walk(first_half, 0, 6)

    second_half = build_optimizer(name, resumed, **options)
    live = {**resumed, **second_half.tensors()}
    layout = StateLayout.of(live)
    view = layout.views(bytearray(layout.size_bytes))
    copy({**broken, **first_half.tensors()}, view)
    bind(live, view)
    walk(second_half, 6, 10)

    for parameter in SHAPES:
        assert torch.equal(whole[parameter], resumed[parameter])
        assert torch.equal(whole[parameter], view[parameter])


def test_plain_sgd_keeps_nothing():
    assert build_optimizer("sgd", parameters()).tensors() == {}


def test_gradients_are_not_changed():
    given = gradients(0)

    build_optimizer("sgd", parameters(), momentum=0.9, weight_decay=0.1, nesterov=True).step(given, rate=0.1)

    assert all(torch.equal(a, b) for a, b in zip(given, gradients(0), strict=True))


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("sdg", {}, "'sgd'"),
        ("lion", {}, "adamw"),
        ("sgd", {"momentun": 0.9}, "momentun"),
        ("sgd", {"momentum": 1.0}, "momentum 1.0"),
        ("sgd", {"weight_decay": -1.0}, "weight_decay -1.0"),
        ("sgd", {"nesterov": True}, "nesterov"),
        ("adam", {"beta": 0.9}, "beta"),
        ("adam", {"betas": (2.0, 0.9)}, "beta"),
        ("adam", {"amsgrad": True}, "amsgrad"),
        ("rmsprop", {"centered": True}, "centered"),
        ("adam", {"lr": 0.1}, "lr"),
    ],
)
def test_an_optimizer_that_makes_no_sense_is_refused(name, options, word):
    with pytest.raises(ConfigError, match=word):
        build_optimizer(name, parameters(), **options)
