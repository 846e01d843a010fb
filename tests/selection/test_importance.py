import numpy as np
import pytest
import torch
from torch import nn

from titand.selection.importance import LastLayerGradient, Scores, class_importance

SAMPLES, CLASSES, WIDTH = 7, 4, 5


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(SAMPLES, WIDTH, generator=generator, dtype=torch.float64)
    label = torch.randint(0, CLASSES, (SAMPLES,), generator=generator)
    return hidden, label


def residual_of(logits, label):
    return logits.softmax(dim=1) - nn.functional.one_hot(label, CLASSES)


def autograd_gradients(layer, forward, label):
    """Gradient of each sample's loss with respect to all parameters of the layer, flattened."""
    rows = []
    for i in range(len(label)):
        loss = nn.functional.cross_entropy(forward()[i : i + 1], label[i : i + 1])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(layer.parameters()))]))
    return torch.stack(rows)


@pytest.mark.parametrize("bias", [True, False])
def test_the_closed_form_of_a_linear_head_equals_autograd(bias):
    hidden, label = batch()
    layer = nn.Linear(WIDTH, CLASSES, bias=bias).double()
    expected = autograd_gradients(layer, lambda: layer(hidden), label)

    with torch.no_grad():
        residual = residual_of(layer(hidden), label)
    seen = torch.cat([hidden, torch.ones(SAMPLES, 1, dtype=torch.float64)], dim=1) if bias else hidden
    gradient = LastLayerGradient(residual, seen)

    torch.testing.assert_close(gradient.norm(), expected.norm(dim=1))
    torch.testing.assert_close(gradient.gram(), expected @ expected.T)


def test_the_closed_form_of_a_convolution_relu_pool_head_equals_autograd():
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(SAMPLES, WIDTH, 3, 3, generator=generator, dtype=torch.float64)
    _, label = batch()
    layer = nn.Conv2d(WIDTH, CLASSES, 1, bias=False).double()

    def forward():
        return layer(image).relu().mean(dim=(2, 3))

    expected = autograd_gradients(layer, forward, label)

    with torch.no_grad():
        is_on = (layer(image) > 0).double()  # [K, C, H, W]
        hidden = torch.einsum("kchw,kdhw->kcd", is_on, image) / 9
        gradient = LastLayerGradient(residual_of(forward(), label), hidden)

    torch.testing.assert_close(gradient.norm(), expected.norm(dim=1))
    torch.testing.assert_close(gradient.gram(), expected @ expected.T)


def test_a_norm_is_the_root_of_the_gram_diagonal():
    hidden, label = batch(5)
    gradient = LastLayerGradient(residual_of(hidden[:, :CLASSES], label), hidden)

    torch.testing.assert_close(gradient.norm().square(), gradient.gram().diagonal())


def test_nearly_equal_gradients_are_beyond_single_precision():
    # The same formula in float32: thirty times as much, all of it rounding.
    generator = torch.Generator().manual_seed(7)
    hidden = 1 + torch.randn(64, 6, generator=generator, dtype=torch.float64) * 1e-5
    exact = class_importance(LastLayerGradient(torch.ones(64, 1), hidden), torch.zeros(64, dtype=torch.int64), 1).item()

    single = hidden.float()
    rough = single.norm(dim=1).sum().square() - (single @ single.T).sum()

    assert abs(float(rough)) ** 0.5 > 10 * exact


def test_gradient_variance_less_norm_variance_is_mean_norm_squared_less_squared_mean():
    generator = torch.Generator().manual_seed(6)
    residual = torch.randn(50, CLASSES, generator=generator, dtype=torch.float64)
    hidden = torch.randn(50, WIDTH, generator=generator, dtype=torch.float64)
    label = torch.arange(50) % 2

    importance = class_importance(LastLayerGradient(residual, hidden), label, CLASSES)

    for y in (0, 1):
        g = torch.einsum("nc,nd->ncd", residual, hidden)[label == y].flatten(1)
        norm = g.norm(dim=1)
        gradient_variance = (g - g.mean(0)).square().sum(1).mean()
        norm_variance = (norm - norm.mean()).square().mean()
        torch.testing.assert_close(importance[y], 25 * (gradient_variance - norm_variance).sqrt(), rtol=1e-9, atol=0)
    assert importance[2:].tolist() == [0.0, 0.0]


def test_equal_norms_but_one_class_of_agreeing_gradients_leaves_that_class_without_importance():
    # The example that tells C-IS from importance sampling: norms say both classes matter alike.
    direction = torch.tensor([[1.0, 0.0]] * 4 + [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    gradient = LastLayerGradient(torch.tensor([[1.0]] * 8), direction)
    label = torch.tensor([0] * 4 + [1] * 4)

    importance = class_importance(gradient, label, 2)

    assert gradient.norm().tolist() == [1.0] * 8
    assert importance.tolist() == [0.0, 4.0]


def test_nearly_equal_gradients_give_what_exact_arithmetic_gives():
    # In float32 the two terms under the root cancel to noise, which the root magnifies to about 2.
    generator = torch.Generator().manual_seed(7)
    offset = torch.randn(64, 6, generator=generator, dtype=torch.float64) * 1e-5
    hidden = 1 + offset
    gradient = LastLayerGradient(torch.ones(64, 1), hidden)

    importance = class_importance(gradient, torch.zeros(64, dtype=torch.int64), 1).item()

    along = hidden.mean(0) / hidden.mean(0).norm()
    across = hidden - (hidden @ along).unsqueeze(1) * along
    # |h| = along + across^2 / (2 along), to second order
    expected = (64**2 * (across.square().sum(1) / (hidden @ along)).mean() * (hidden @ along).mean()) ** 0.5
    assert importance == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("per_class", [False, True])
def test_scores_in_single_precision_are_multiplied_in_double(per_class):
    # Float32 has seven digits, and what tells one gradient from the next may be in the eighth of their products.
    rng = np.random.default_rng(8)
    residual = rng.normal(size=(20, CLASSES)).astype(np.float32)
    shape = (20, CLASSES, WIDTH) if per_class else (20, WIDTH)
    hidden = (1 + 1e-4 * rng.normal(size=shape)).astype(np.float32)
    rows = residual.astype(np.float64)[:, :, None] * hidden.astype(np.float64).reshape(20, -1, WIDTH)
    flat = rows.reshape(20, -1)

    gradient = LastLayerGradient(torch.from_numpy(residual), torch.from_numpy(hidden))

    np.testing.assert_allclose(gradient.gram(), flat @ flat.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient.norm(), np.linalg.norm(flat, axis=1), rtol=1e-12)


def test_classes_of_equal_gradients_have_an_importance_of_zero_whatever_rounding_makes_of_it():
    # A difference of two equal sums comes out on either side of zero, and the root of a negative one is NaN.
    residual = torch.rand(60, 1, generator=torch.Generator().manual_seed(9), dtype=torch.float64).expand(60, 3)
    label = torch.arange(60) % 20
    alike = residual[label]

    importance = class_importance(LastLayerGradient(alike, torch.full((60, 7), 0.1, dtype=torch.float64)), label, 20)

    assert ((importance >= 0) & (importance < 1e-6)).all()


def test_scores_of_some_rows_are_all_of_these_rows():
    hidden, label = batch()
    residual = residual_of(hidden[:, :CLASSES], label)
    scores = Scores(LastLayerGradient(residual, hidden), residual[:, 0], residual.softmax(1), input=hidden)
    row = torch.tensor([4, 1])

    part = scores.take(row)

    pairs = [(part.gradient.residual, residual), (part.gradient.hidden, hidden), (part.loss, residual[:, 0])]
    for taken, whole in [*pairs, (part.probability, residual.softmax(1)), (part.input, hidden)]:
        assert taken.tolist() == [whole[4].tolist(), whole[1].tolist()]


def test_neither_sampling_nor_classes_ever_add_variance():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        residual = torch.randn(40, CLASSES, generator=generator, dtype=torch.float64)
        hidden = torch.rand(40, WIDTH, generator=generator, dtype=torch.float64)
        label = torch.randint(0, CLASSES, (40,), generator=generator)
        gradient = LastLayerGradient(residual, hidden)
        norm, square_of_mean = gradient.norm(), gradient.gram().mean()

        uniform = norm.square().mean() - square_of_mean
        by_norm = norm.mean().square() - square_of_mean
        by_class = (class_importance(gradient, label, CLASSES).sum() / 40).square()

        assert by_class <= by_norm + 1e-12
        assert by_norm <= uniform + 1e-12


@pytest.mark.parametrize("field", ["residual", "hidden", "loss", "probability"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_with_one_broken_value_is_not_finite(field, value):
    hidden, label = batch()
    parts = {
        "residual": residual_of(hidden[:, :CLASSES], label),
        "hidden": hidden,
        "loss": torch.zeros(SAMPLES),
        "probability": torch.full((SAMPLES, CLASSES), 1 / CLASSES),
    }
    parts[field] = parts[field].clone()
    parts[field].view(SAMPLES, -1)[2, -1] = value

    scores = Scores(LastLayerGradient(parts["residual"], parts["hidden"]), parts["loss"], parts["probability"])

    assert scores.finite().tolist() == [i != 2 for i in range(SAMPLES)]
