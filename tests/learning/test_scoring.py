"""The closed-form gradient of the last layer against autograd, sample by sample."""

import pytest
import torch
from torch import nn

from tests.learning.specs import CIFAR, DIGITS, MOTION, SPEECH, spec_of
from titand.learning.models.split import ConvHead, LinearHead
from titand.learning.models.zoo import ARCHITECTURES, build
from titand.learning.scoring import FEATURE_LIMIT, evaluating, first_block_feature, residual, score


def closed_form(logits, hidden, label):
    delta = residual(logits, label)
    return torch.einsum("kc,kd->kcd", delta, hidden) if hidden.dim() == 2 else delta[:, :, None] * hidden


def by_autograd(model, x, label):
    """The last layer's gradient of each sample's own cross-entropy: weight and bias side by side, [K, C, D + 1]."""
    gradient = []
    for one, its_label in zip(x, label, strict=True):
        loss = nn.functional.cross_entropy(model(one[None]), its_label[None])
        weight, bias = torch.autograd.grad(loss, [model.head.weight, model.head.bias])
        gradient.append(torch.cat([weight.flatten(1), bias[:, None]], dim=1))
    return torch.stack(gradient)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gradient_of_the_last_layer_needs_no_backward_pass(architecture):
    shape = MOTION if architecture == "mlp" else DIGITS
    model = build(spec_of(architecture, shape, class_count=4), seed=2).double().eval()
    nn.init.normal_(model.head.weight, std=0.3)  # far from even predictions, and some of SqueezeNet's classes off
    nn.init.normal_(model.head.bias, std=0.3)
    x, label = torch.randn(6, *shape, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])

    seen = score(model, x)

    torch.testing.assert_close(closed_form(seen.logits, seen.hidden, label), by_autograd(model, x, label))


def test_a_class_that_is_switched_off_everywhere_has_no_gradient():
    head = ConvHead(3, 2)
    nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([-1.0, 1.0]))

    logits, hidden = head.with_hidden(torch.randn(4, 3, 2, 2))

    assert not hidden[:, 0].any()
    assert torch.equal(logits, torch.tensor([[0.0, 1.0]]).expand(4, 2))
    assert torch.equal(hidden[:, 1, 3], torch.ones(4))  # on at every position: the bias has its full gradient


@pytest.mark.parametrize("head", [LinearHead(5, 3), ConvHead(5, 3)], ids=["linear", "conv"])
def test_a_head_gives_the_same_logits_with_and_without_hidden(head):
    x = torch.randn(4, 5) if isinstance(head, LinearHead) else torch.randn(4, 5, 3, 3)

    torch.testing.assert_close(head.with_hidden(x)[0], head(x))


def test_residual_is_the_gradient_of_cross_entropy_by_the_logits():
    logits = torch.randn(7, 5, requires_grad=True)
    label = torch.randint(5, (7,))

    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(logits, label, reduction="sum"), logits)

    torch.testing.assert_close(residual(logits.detach(), label), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_filter_and_the_scores_see_the_same_feature(architecture):
    shape = MOTION if architecture == "mlp" else CIFAR
    model = build(spec_of(architecture, shape), seed=1)
    x = torch.randn(3, *shape)

    feature = first_block_feature(model, x)

    torch.testing.assert_close(score(model, x).feature, feature)
    assert feature.dim() == 2
    assert feature.shape[1] <= FEATURE_LIMIT


@pytest.mark.parametrize(("shape", "numbers"), [(CIFAR, 256), (SPEECH, 256), (DIGITS, 256), ((1, 1, 1), 64)], ids=str)
def test_a_feature_map_is_averaged_over_its_quarters(shape, numbers):
    model = build(spec_of("resnet34", shape), seed=1).eval()
    x = torch.randn(2, *shape)

    feature = first_block_feature(model, x)

    assert feature.shape == (2, numbers)
    with torch.no_grad():
        whole = model.first_block(x)
    torch.testing.assert_close(feature.view(2, 64, -1).mean(2), whole.mean((2, 3)))  # equal quarters in these shapes


@pytest.mark.parametrize(("shape", "portion"), [(CIFAR, 16), (SPEECH, 4)], ids=str)
def test_more_samples_than_memory_is_kept_for_have_the_same_features(shape, portion):
    model = build(spec_of("resnet34", shape), seed=1).eval()
    x = torch.randn(2 * portion + 3, *shape)
    seen = []
    model.first_block.register_forward_pre_hook(lambda block, inputs: seen.append(len(inputs[0])))

    feature = first_block_feature(model, x)

    assert seen == [1, portion, portion, 3]  # one to see how large its map is
    torch.testing.assert_close(feature, torch.cat([first_block_feature(model, each) for each in x.split(1)]))


def test_scores_are_those_of_running_statistics_and_leave_the_model_training():
    model = build(spec_of("mobilenet_v1", DIGITS, width=0.25), seed=1).train()
    x = torch.randn(4, *DIGITS)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    together = score(model, x).logits
    alone = torch.cat([score(model, one[None]).logits for one in x])

    torch.testing.assert_close(together, alone)  # a batch's own statistics would make them differ
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_failing_evaluation_leaves_the_model_as_it_was():
    model = build(spec_of("mlp", DIGITS), seed=1).train()

    with pytest.raises(RuntimeError), evaluating(model):
        model(torch.randn(1, 3))

    assert model.training
