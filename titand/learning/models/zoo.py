"""From a model's description to the model: names, checks, initial parameters."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Generator, nn

from titand.errors import ModelError
from titand.learning.models.alexnet import AlexNet
from titand.learning.models.mlp import MLP
from titand.learning.models.mobilenet_v1 import MobileNetV1
from titand.learning.models.resnet import Residual, resnet34, resnet50
from titand.learning.models.small import DigitsCNN
from titand.learning.models.split import ConvHead, SplitModel
from titand.learning.models.squeezenet import SqueezeNet
from titand.records import ModelSpec

HEAD_STD = 0.01

ARCHITECTURES: Mapping[str, Callable[..., SplitModel]] = {
    "mlp": MLP,
    "digits_cnn": DigitsCNN,
    "alexnet": AlexNet,
    "mobilenet_v1": MobileNetV1,
    "squeezenet": SqueezeNet,
    "resnet34": resnet34,
    "resnet50": resnet50,
}


def build(spec: ModelSpec, seed: int) -> SplitModel:
    """Return the model that a description names, with initial parameters drawn from the seed alone.

    Args:
        spec: architecture, input shape, labels and options.
        seed: of the initial parameters; the process-wide generator is left as it was.

    Raises:
        ModelError: unknown architecture or option, an option out of range, an input shape that does not fit, fewer
            than two labels.
    """
    architecture = ARCHITECTURES.get(spec.architecture)
    if architecture is None:
        raise ModelError(
            "MODEL_ARCHITECTURE_UNKNOWN",
            f"There is no architecture {spec.architecture!r}.",
            _suggestion(spec.architecture, ARCHITECTURES),
        )
    if spec.class_count < 2:
        raise ModelError(
            "MODEL_LABELS_TOO_FEW",
            f"{spec.architecture} was given {spec.class_count} label(s).",
            "A classifier needs two labels or more.",
        )
    if not spec.input.shape or min(spec.input.shape) < 1:
        raise ModelError(
            "MODEL_INPUT_UNSUITABLE",
            f"The input shape {list(spec.input.shape)} is empty.",
            "Every dimension must be at least 1.",
        )
    _check_options(spec, architecture)
    # The layers' own first values are overwritten; the fork keeps them from moving the process-wide generator.
    with torch.random.fork_rng(devices=[]):
        model = architecture(spec.input.shape, spec.class_count, **spec.options)
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def initialise(model: SplitModel, generator: Generator) -> None:
    """Draw the initial parameters.

    Convolutions and hidden layers: He normal, variance 2 / fan_in (arXiv:1502.01852). Head: standard deviation 0.01, so
    that the first predictions are nearly even and the first steps small. Biases 0, normalisations 1 and 0, the last
    scale of a residual branch 0. The bias of a convolutional head 1: the same for all classes, it changes no
    prediction, but switches every class on nearly everywhere; started at 0 half of them are off, some for good.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, Residual):
            module.start_as_identity()
    nn.init.normal_(model.head.weight, std=HEAD_STD, generator=generator)
    if isinstance(model.head, ConvHead) and model.head.bias is not None:
        nn.init.ones_(model.head.bias)


def _check_options(spec: ModelSpec, architecture: Callable[..., SplitModel]) -> None:
    parameter = inspect.signature(architecture).parameters.values()
    known = [p.name for p in parameter if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for name in spec.options:
        if name not in known:
            raise ModelError(
                "MODEL_OPTION_UNKNOWN",
                f"{spec.architecture} has no option {name!r}.",
                _suggestion(name, known) if known else "It has no options.",
            )


def _suggestion(name: str, known: Mapping[str, object] | list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {', '.join(known)}."
