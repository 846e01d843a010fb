"""Every architecture: shapes, known sizes, initial parameters, and what it refuses."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.learning.specs import CIFAR, DIGITS, IMAGE_ARCHITECTURES, MOTION, SPEECH, spec_of
from titand.errors import ModelError
from titand.learning.models.split import ConvHead, LinearHead
from titand.learning.models.zoo import ARCHITECTURES, build

SMALL_INPUTS = [CIFAR, SPEECH, DIGITS, (1, 28, 28), (1, 1, 1), (2, 7, 33)]


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("shape", SMALL_INPUTS, ids=str)
@pytest.mark.parametrize("architecture", IMAGE_ARCHITECTURES)
def test_an_image_of_any_size_gives_one_logit_per_class(architecture, shape):
    if architecture == "resnet50" and shape in (SPEECH, (1, 28, 28)):
        pytest.skip("the same code path as 3x32x32, and a second of CPU")
    model = build(spec_of(architecture, shape, class_count=7), seed=1).eval()

    with torch.inference_mode():
        logits = model(torch.randn(2, *shape))

    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("shape", [MOTION, DIGITS, CIFAR, SPEECH], ids=str)
def test_the_mlp_takes_any_shape(shape):
    model = build(spec_of("mlp", shape, class_count=6, hidden=[32, 16]), seed=1)

    assert model(torch.randn(3, *shape)).shape == (3, 6)
    assert model.head.in_features == 16


# Published or widely reproduced sizes: MobileNetV1 has 4.2 million parameters for ImageNet's 1000 classes; SqueezeNet
# 1.1 has 1,235,496; the ResNets with a 3x3 stem for ten classes 21,282,122 and 23,520,842. Strides do not count.
@pytest.mark.parametrize(
    ("architecture", "class_count", "norm", "expected"),
    [
        ("mobilenet_v1", 1000, "batch", 4_231_976),
        ("mobilenet_v1", 10, "batch", 3_217_226),
        ("squeezenet", 1000, "none", 1_235_496),
        ("resnet34", 10, "batch", 21_282_122),
        ("resnet50", 10, "batch", 23_520_842),
    ],
)
def test_the_size_is_the_published_one(architecture, class_count, norm, expected):
    assert parameter_count(build(spec_of(architecture, CIFAR, class_count, norm=norm), seed=1)) == expected


def test_alexnet_has_the_convolutions_of_one_weird_trick():
    # 2,469,696 in the original, whose first two kernels are 11x11 and 5x5 where these are 3x3.
    expected = 2_469_696 - 64 * 3 * (11 * 11 - 3 * 3) - 192 * 64 * (5 * 5 - 3 * 3)

    model = build(spec_of("alexnet", CIFAR, norm="none"), seed=1)

    assert sum(parameter_count(layer) for layer in model.modules() if isinstance(layer, nn.Conv2d)) == expected


def test_width_scales_mobilenet_by_about_its_square():
    full = parameter_count(build(spec_of("mobilenet_v1", CIFAR), seed=1).rest)
    half = parameter_count(build(spec_of("mobilenet_v1", CIFAR, width=0.5), seed=1).rest)

    assert 3.5 < full / half < 4.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_seed_alone_decides_the_parameters(architecture):
    shape = MOTION if architecture == "mlp" else DIGITS
    spec = spec_of(architecture, shape)
    before = torch.get_rng_state()

    first, again, other = build(spec, seed=5), build(spec, seed=5), build(spec, seed=6)

    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_first_predictions_are_nearly_even(architecture):
    shape = MOTION if architecture == "mlp" else CIFAR
    model = build(spec_of(architecture, shape), seed=3).train()

    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(torch.randn(10, *shape)), torch.arange(10))

    assert abs(loss.item() - torch.log(torch.tensor(10.0)).item()) < 0.5


def test_a_hidden_layer_keeps_the_size_of_its_signal():
    model = build(spec_of("mlp", MOTION, hidden=[900] * 8), seed=1)

    with torch.no_grad():
        hidden = model.rest(model.first_block(torch.randn(64, *MOTION)))

    assert 0.5 < hidden.square().mean() < 2.0  # He: E[relu(z)^2] stays E[x^2] through every layer


def test_a_residual_block_starts_as_the_identity_of_what_is_positive():
    block = build(spec_of("resnet34", CIFAR), seed=1).rest[0].eval()
    x = torch.randn(2, 64, 8, 8)

    with torch.no_grad():
        assert torch.equal(block(x), x.relu())


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("architecture", ["alexnet", "mobilenet_v1", "squeezenet", "resnet34", "resnet50"])
def test_normalisation_is_a_choice(architecture, norm):
    model = build(spec_of(architecture, DIGITS, norm=norm), seed=1)

    kinds = {type(layer) for layer in model.modules()} & {nn.BatchNorm2d, nn.GroupNorm}
    assert kinds == {"batch": {nn.BatchNorm2d}, "group": {nn.GroupNorm}, "none": set()}[norm]


def test_only_squeezenet_has_a_convolutional_head():
    heads = {name: type(build(spec_of(name, DIGITS), seed=1).head) for name in ARCHITECTURES}

    assert heads.pop("squeezenet") is ConvHead
    assert set(heads.values()) == {LinearHead}


@pytest.mark.parametrize(
    ("spec", "reason", "word"),
    [
        (spec_of("mobilnet_v1", CIFAR), "MODEL_ARCHITECTURE_UNKNOWN", "mobilenet_v1"),
        (spec_of("transformer", CIFAR), "MODEL_ARCHITECTURE_UNKNOWN", "resnet34"),
        (spec_of("mobilenet_v1", MOTION), "MODEL_INPUT_UNSUITABLE", "900"),
        (spec_of("resnet50", (40, 98)), "MODEL_INPUT_UNSUITABLE", "40x98"),
        (spec_of("mlp", ()), "MODEL_INPUT_UNSUITABLE", "[]"),
        (spec_of("mlp", (0, 3)), "MODEL_INPUT_UNSUITABLE", "[0, 3]"),
        (spec_of("mlp", MOTION, class_count=1), "MODEL_LABELS_TOO_FEW", "1"),
        (spec_of("mobilenet_v1", CIFAR, widht=0.5), "MODEL_OPTION_UNKNOWN", "width"),
        (spec_of("resnet34", CIFAR, block="basic"), "MODEL_OPTION_UNKNOWN", "norm"),
        (spec_of("digits_cnn", DIGITS, width=0.5), "MODEL_OPTION_UNKNOWN", "no options"),
        (spec_of("mobilenet_v1", CIFAR, width=-1), "MODEL_OPTION_INVALID", "-1"),
        (spec_of("mobilenet_v1", CIFAR, width="wide"), "MODEL_OPTION_INVALID", "'wide'"),
        (spec_of("mobilenet_v1", CIFAR, norm="layer"), "MODEL_OPTION_INVALID", "'layer'"),
        (spec_of("mlp", MOTION, hidden=[0]), "MODEL_OPTION_INVALID", "hidden"),
        (spec_of("mlp", MOTION, hidden=[]), "MODEL_OPTION_INVALID", "hidden"),
        (spec_of("mlp", MOTION, hidden=64), "MODEL_OPTION_INVALID", "hidden"),
        (spec_of("alexnet", CIFAR, hidden=0), "MODEL_OPTION_INVALID", "hidden"),
        (spec_of("mlp", MOTION, hidden=[12.5]), "MODEL_OPTION_INVALID", "12.5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_built_is_refused_with_the_way_out(spec, reason, word):
    with pytest.raises(ModelError) as caught:
        build(spec, seed=1)

    assert caught.value.reason == reason
    assert word in str(caught.value)


def test_a_step_never_loads_dynamo():
    """Building torch.optim's objects does, for 69 MB: the reason why SGD is written out."""
    code = """
import sys, torch
from titand.learning import evaluation, export, preprocess, state
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.schedules import step
from titand.learning.scoring import first_block_feature, score
from titand.learning.trainer import Learner
from titand.records import ModelSpec, TensorSpec

spec = ModelSpec("mobilenet_v1", TensorSpec("uint8", (3, 8, 8)), ("a", "b"), options={"width": 0.25})
model = build(spec, seed=1)
x, label = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
score(model, x), first_block_feature(model, x)
optimizer = build_optimizer("sgd", dict(model.named_parameters()), momentum=0.9, nesterov=True, weight_decay=1e-4)
learner = Learner(model, optimizer, step(0.1))
assert learner.step(x, label, torch.ones(4), round=1).finite
layout = state.StateLayout.of(learner.tensors())
state.bind(learner.tensors(), layout.views(bytearray(layout.size_bytes)))
evaluation.evaluate(model, [(x, label)], 2)
sys.exit(" ".join(name for name in ("torch._dynamo", "sympy") if name in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
