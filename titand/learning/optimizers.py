"""From gradients to new parameters.

The default is written out here, ten lines of torch._foreach_*, because constructing anything of torch.optim imports
torch._dynamo: 69 MB and more than a second. Who names another optimizer gets torch's own, at that price.

An optimizer's tensors are created with it, all zero, and are live tensors like a model's: they are part of the flat
state, and may be pointed elsewhere between steps.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from titand.errors import ConfigError

Parameters = Mapping[str, Tensor]

# The state tensors of torch's own, all of which start at zero; "step" is a scalar, the others are like the parameter.
# Options that would add more of them (amsgrad, centered, rmsprop's momentum) are not offered.
TORCH_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "adam": ("betas", "eps", "weight_decay"),
    "adamw": ("betas", "eps", "weight_decay"),
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("alpha", "eps", "weight_decay"),
}
TORCH_SLOTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "adam": ("Adam", ("step", "exp_avg", "exp_avg_sq")),
    "adamw": ("AdamW", ("step", "exp_avg", "exp_avg_sq")),
    "adagrad": ("Adagrad", ("step", "sum")),
    "rmsprop": ("RMSprop", ("step", "square_avg")),
}


class Optimizer(Protocol):
    """What a learner asks of an optimizer."""

    def tensors(self) -> dict[str, Tensor]:
        """Return its live tensors, named "slot/parameter"."""
        ...

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Change the parameters in place, by one step at this learning rate."""
        ...


class SGD:
    """Stochastic gradient descent: v = momentum v + g + weight_decay w; w = w - rate v.

    With `nesterov` the step is along g + weight_decay w + momentum v, with the new v. Same steps as torch.optim.SGD.

    Args:
        parameters: by name.
        momentum: 0 as in the paper.
        weight_decay: pulls every parameter towards 0.
        nesterov: look ahead along the momentum; needs one.
    """

    def __init__(
        self, parameters: Parameters, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        if not 0 <= momentum < 1 or not weight_decay >= 0:
            raise ConfigError(
                "OPTIMIZER_INVALID",
                f"sgd: momentum {momentum} must be in [0, 1), weight_decay {weight_decay} at least 0.",
            )
        if nesterov and momentum == 0:
            raise ConfigError("OPTIMIZER_INVALID", "sgd: nesterov needs a momentum above 0.")
        self._parameters = list(parameters.values())
        self._names = list(parameters)
        self._momentum, self._weight_decay, self._nesterov = momentum, weight_decay, nesterov
        self._velocity = [torch.zeros_like(p, requires_grad=False) for p in self._parameters] if momentum else []

    def tensors(self) -> dict[str, Tensor]:
        """Return the velocities, named "momentum/parameter"; none without momentum."""
        return {f"momentum/{name}": v for name, v in zip(self._names, self._velocity, strict=False)}

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Change the parameters in place."""
        direction = list(gradients)
        if self._weight_decay:
            direction = list(torch._foreach_add(direction, self._parameters, alpha=self._weight_decay))
        if self._momentum:
            torch._foreach_mul_(self._velocity, self._momentum)
            torch._foreach_add_(self._velocity, direction)
            if self._nesterov:
                direction = list(torch._foreach_add(direction, self._velocity, alpha=self._momentum))
            else:
                direction = self._velocity
        torch._foreach_add_(self._parameters, direction, alpha=-rate)


class TorchOptimizer:
    """One of torch.optim's, with its state in tensors that can be pointed at a flat state."""

    def __init__(self, name: str, parameters: Parameters, options: Mapping[str, Any]) -> None:
        from torch import optim  # imports torch._dynamo, hence here

        kind, slots = TORCH_SLOTS[name]
        for option in options:
            if option not in TORCH_OPTIONS[name]:
                known = ", ".join(TORCH_OPTIONS[name])
                raise ConfigError("OPTIMIZER_INVALID", f"{name} has no option {option!r}.", f"Known: {known}.")
        self._parameters = list(parameters.values())
        try:
            self._optimizer: optim.Optimizer = getattr(optim, kind)(self._parameters, foreach=True, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError("OPTIMIZER_INVALID", f"{name}: {error}.") from error
        self._tensors: dict[str, Tensor] = {}
        for parameter_name, parameter in parameters.items():
            state = {slot: _slot_tensor(slot, parameter) for slot in slots}
            self._optimizer.state[parameter] = state
            self._tensors |= {f"{slot}/{parameter_name}": tensor for slot, tensor in state.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the moments and step counts, named "slot/parameter"."""
        return dict(self._tensors)

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Change the parameters in place."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def build_optimizer(name: str, parameters: Parameters, **options: Any) -> Optimizer:
    """Return the optimizer of this name: "sgd", or at a cost of 69 MB "adam", "adamw", "adagrad", "rmsprop".

    Raises:
        ConfigError: unknown name, unknown option, or an option out of range.
    """
    if name == "sgd":
        try:
            return SGD(parameters, **options)
        except TypeError as error:
            raise ConfigError("OPTIMIZER_INVALID", f"sgd: {error}.") from error
    if name not in TORCH_SLOTS:
        known = ["sgd", *TORCH_SLOTS]
        nearest = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            "OPTIMIZER_UNKNOWN",
            f"There is no optimizer {name!r}.",
            f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {', '.join(known)}.",
        )
    return TorchOptimizer(name, parameters, options)


def _slot_tensor(slot: str, parameter: Tensor) -> Tensor:
    return torch.zeros(()) if slot == "step" else torch.zeros_like(parameter, requires_grad=False)
