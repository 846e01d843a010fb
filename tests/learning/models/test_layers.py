"""What models are put together from."""

import pytest
import torch

from tests.learning.specs import CIFAR, spec_of
from titand.learning.models.layers import ChannelsLast, conv, scaled
from titand.learning.models.zoo import build


@pytest.mark.parametrize("side", [1, 2, 7, 32])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_divides_the_side_by_its_stride_and_rounds_up(side, stride, kernel):
    assert conv(3, 8, kernel, stride)(torch.randn(2, 3, side, side)).shape[2:] == (-(-side // stride),) * 2


def test_an_activation_is_never_negative_and_has_a_bias_in_one_place():
    assert conv(3, 8, norm="batch")[0].bias is None
    assert conv(3, 8, norm="none")[0].bias is not None
    assert conv(3, 8)(torch.randn(4, 3, 5, 5)).min() == 0


@pytest.mark.parametrize(("channels", "width", "expected"), [(32, 0.25, 8), (32, 0.01, 8), (64, 1, 64), (64, 1.3, 80)])
def test_thinner_layers_stay_multiples_of_eight(channels, width, expected):
    assert scaled(channels, width) == expected


def test_another_order_in_memory_is_the_same_feature_map():
    x = torch.randn(2, 8, 5, 3)

    turned = ChannelsLast()(x)

    assert torch.equal(turned, x)
    assert turned.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("architecture", ["mobilenet_v1", "squeezenet"])
def test_thin_models_work_channels_last_up_to_their_head(architecture):
    model = build(spec_of(architecture, CIFAR), seed=1).eval()
    seen = []
    for layer in model.rest.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda _, __, y: seen.append(y.is_contiguous(memory_format=torch.channels_last))
            )

    with torch.no_grad():
        model(torch.randn(2, *CIFAR))

    assert len(seen) >= 24
    assert all(seen)


def test_squeezenet_starts_with_every_class_switched_on():
    model = build(spec_of("squeezenet", CIFAR), seed=1).eval()

    with torch.no_grad():
        _, hidden = model.head.with_hidden(model.rest(model.first_block(torch.randn(4, *CIFAR))))

    assert hidden[..., -1].min() > 0.75  # the share of positions at which a class is on
