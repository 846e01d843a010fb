"""The paper's tasks: which data, which model, how large by default and in full."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import datasets
from titand.demo.data import Dataset
from titand.records import ModelSpec, TensorSpec


@dataclass(frozen=True)
class Task:
    """A data set and a model for it.

    Attributes:
        data: a name of `datasets.load`.
        architecture: of the zoo.
        options: of the architecture, at the size of a scaled run.
        full_options: likewise, at the size of the paper.
        test_samples: of the test part, what a scaled run looks at for each point of the curve.
        scale: for the reader of a table: what is smaller than in the paper, "" if nothing.
    """

    data: str
    architecture: str
    options: Mapping[str, Any] = field(default_factory=dict)
    full_options: Mapping[str, Any] = field(default_factory=dict)
    test_samples: int = 1_000_000
    scale: str = ""


TASKS: Mapping[str, Task] = {
    "digits": Task("digits", "digits_cnn"),
    "fashion-cnn": Task("fashion-mnist", "digits_cnn", test_samples=2000, scale="2,000 test images"),
    "har": Task("motionsense", "mlp", scale="MotionSense in place of HARBOX"),
    "cifar-mobilenet": Task(
        "cifar10", "mobilenet_v1", {"width": 0.25}, test_samples=1000, scale="width 0.25, 1,000 test images"
    ),
    "cifar-alexnet": Task(
        "cifar10", "alexnet", {"hidden": 256}, {"hidden": 1024}, 500, "hidden layers of 256, 500 test images"
    ),
    "cifar-squeezenet": Task("cifar10", "squeezenet", test_samples=500, scale="500 test images"),
    "cifar-resnet50": Task(
        "cifar10", "resnet50", {"width": 0.0625}, test_samples=500, scale="width 1/16, 500 test images"
    ),
    "speech-cnn": Task("speech", "digits_cnn", test_samples=1000, scale="17 words, a small CNN, 1,000 test clips"),
    "speech-resnet34": Task(
        "speech", "resnet34", {"width": 0.0625}, test_samples=500, scale="17 words, width 1/16, 500 test clips"
    ),
}


@dataclass(frozen=True)
class Loaded:
    """A task in memory."""

    dataset: Dataset
    spec: ModelSpec


@functools.cache
def load(name: str, full: bool = False) -> Loaded:
    """Return a task's data and model description.

    Raises:
        NotFound: the data are not on this machine; the remedy says how to get them.
    """
    task = TASKS[name]
    dataset = _data(task.data)
    train = dataset.train.input
    mean, std = moments(train)
    spec = ModelSpec(
        task.architecture,
        TensorSpec(train.dtype.name, train.shape[1:]),
        dataset.train.class_names,
        mean=mean,
        std=std,
        options=task.full_options if full else task.options,
    )
    return Loaded(dataset, spec)


@functools.cache
def _data(name: str) -> Dataset:
    return datasets.load(name)


def moments(value: np.ndarray[Any, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each leading channel."""
    axes = (0, *range(2, value.ndim))
    mean = value.mean(axes, dtype=np.float64)
    std = value.std(axes, dtype=np.float64)
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())
