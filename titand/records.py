"""What crosses a process border: plain frozen data that goes through JSON and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

ITEM_BYTES: Mapping[str, int] = {"uint8": 1, "int16": 2, "float16": 2, "float32": 4}

Record = TypeVar("Record")


@dataclass(frozen=True)
class TensorSpec:
    """What one input must look like: row-major, little-endian, no padding.

    >>> TensorSpec("uint8", (3, 32, 32)).size_bytes
    3072
    """

    data_type: str
    shape: tuple[int, ...]

    @property
    def item_count(self) -> int:
        """Elements of one sample."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of one sample."""
        return self.item_count * ITEM_BYTES[self.data_type]


@dataclass(frozen=True)
class ModelSpec:
    """The model's own description: what goes in, what comes out, and how it is built.

    Attributes:
        architecture: a name of the zoo, e.g. "mobilenet_v1".
        input: the tensor as it is pushed.
        labels: class names; a label is an index into them.
        scale: raw values are multiplied by it first (1/255 for images).
        mean: then this is subtracted, per leading channel, or one for all, or none.
        std: then divided by this, likewise.
        options: arguments of the architecture, e.g. {"width": 0.25}.
    """

    architecture: str
    input: TensorSpec
    labels: tuple[str, ...]
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return len(self.labels)


@dataclass(frozen=True)
class Permit:
    """Trainer to selector: leave to select the batch of `round`, scored with parameter `version`."""

    round: int
    version: int


@dataclass(frozen=True)
class Batch:
    """Selector to trainer: what round `round` trains on.

    Attributes:
        slots: [B] arena slots of the samples.
        sample_weights: [B] factors that undo the bias of the draw; their mean is 1 in expectation.
        version: the parameters that scored it.
        facts: how the choice came about (window, candidates, gain, class draws), for reports only.
    """

    round: int
    slots: tuple[int, ...]
    sample_weights: tuple[float, ...]
    version: int
    facts: Mapping[str, Any] = field(default_factory=dict)


def to_plain(record: Any) -> dict[str, Any]:
    """Return a dataclass as plain dictionaries and lists, ready for JSON."""
    return dataclasses.asdict(record)


def from_plain(kind: type[Record], plain: Mapping[str, Any]) -> Record:
    """Build a flat record from what `to_plain` gave; lists become tuples.

    >>> from_plain(Permit, {"round": 3, "version": 2})
    Permit(round=3, version=2)
    """
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})


def model_spec_from_plain(plain: Mapping[str, Any]) -> ModelSpec:
    """Build a ModelSpec from what `to_plain` gave."""
    rest = {key: value for key, value in plain.items() if key != "input"}
    spec = from_plain(TensorSpec, plain["input"])
    return from_plain(ModelSpec, {**rest, "input": spec})
