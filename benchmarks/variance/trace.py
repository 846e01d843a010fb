"""What the methods are judged on: windows of a stream as a model sees them at some stage of its training.

A model is trained by uniform random selection (RS). Up to a stage, its windows are recorded as they go by, for what a
filter learns on the way; at the stage the model is held still and seen by windows that come next. Everything that the
methods need of a window is kept on file, so that any of them can be tried without training again.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.paper import stream, tasks
from titand.learning import schedules, scoring
from titand.learning.models.split import SplitModel
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.preprocess import Preprocess
from titand.learning.trainer import Learner
from titand.records import ModelSpec
from titand.selection.importance import LastLayerGradient

CACHE = Path("build/variance")
BATCH = 10  # of the training that the model comes from
NEXT = 1000  # added to the seed: the windows at a stage come in another order than those trained on


@dataclass(frozen=True)
class Conditions:
    """What a trace is made under.

    Attributes:
        task: a name of `benchmarks.paper.tasks.TASKS`.
        seed: of initial parameters, stream and label noise.
        stage: rounds of training.
        windows: recorded at the stage.
        warm_up: windows recorded before it, fewer if it is earlier.
        window: samples of each, n.
        rate: of learning; times 0.95 every 100 rounds.
        classes: how many of the classes there are, the first ones; 0 for all.
        noise: share of samples whose label is replaced by another one.
        imbalance: how many times rarer the last class is than the first.
        whole_model: whether the gradients of all layers are compared as well.
    """

    task: str
    seed: int
    stage: int = 0
    windows: int = 60
    warm_up: int = 300
    window: int = 100
    rate: float = 0.05
    classes: int = 0
    noise: float = 0.0
    imbalance: float = 1.0
    whole_model: bool = False

    @property
    def name(self) -> str:
        """Return a file name that is equal for equal conditions only.

        >>> Conditions("har", seed=3, stage=1000, noise=0.2).name
        'har-seed3-stage1000-noise0.2'
        """
        parts = [
            f"{field.name.replace('_', '-')}{getattr(self, field.name)}"
            for field in dataclasses.fields(self)
            if field.name != "task" and getattr(self, field.name) != field.default
        ]
        return "-".join([self.task, *parts])

    def at_stage(self, stage: int) -> Conditions:
        """Return the same at another stage."""
        return dataclasses.replace(self, stage=stage)


@dataclass(frozen=True)
class Window:
    """n samples as a model sees them.

    Attributes:
        label: [n] int64.
        feature: [n, F] first-block feature, what the filter sees.
        residual: [n, C] softmax minus one-hot.
        hidden: [n, D] input of the last layer, or [n, C, D]; see `LastLayerGradient`.
        whole_gram: [n, n] float64, inner products of the samples' gradients by all parameters; empty if not asked for.
    """

    label: Tensor
    feature: Tensor
    residual: Tensor
    hidden: Tensor
    whole_gram: Tensor

    @property
    def gradient(self) -> LastLayerGradient:
        """Last-layer gradients."""
        return LastLayerGradient(self.residual, self.hidden)


@dataclass(frozen=True)
class Trace:
    """The windows before a stage, for what learns from them, and those at the stage."""

    before: list[Window]
    at: list[Window]
    class_count: int


def recorded(conditions: Conditions, stages: Iterable[int], cache: Path = CACHE) -> dict[int, Trace]:
    """Return the traces of some stages from file; what is missing is made, in one training, and kept.

    Raises:
        NotFound: the data are not on this machine; the remedy says how to get them.
    """
    path = {stage: cache / f"{conditions.at_stage(stage).name}.npz" for stage in stages}
    missing = sorted(stage for stage in path if not path[stage].exists())
    for stage, trace in record(conditions, missing):
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path[stage].with_suffix(".partial")
        with unfinished.open("wb") as file:
            np.savez(file, **_arrays(trace))
        unfinished.replace(path[stage])
    found = {}
    for stage in path:
        with np.load(path[stage], allow_pickle=False) as archive:
            found[stage] = _trace({name: torch.from_numpy(archive[name]) for name in archive.files})
    return found


def record(conditions: Conditions, stages: Sequence[int]) -> Iterator[tuple[int, Trace]]:
    """Train, and yield what is seen at each of the stages, which are in ascending order."""
    if not stages:
        return
    spec, value, label = _data(conditions)
    model = build(spec, conditions.seed)
    optimizer = build_optimizer("sgd", dict(model.named_parameters()))
    learner = Learner(model, optimizer, schedules.step(conditions.rate))
    preprocess = Preprocess(spec)
    generator = torch.Generator().manual_seed(conditions.seed)
    arrivals = stream.windows(label, conditions.window, "shuffled", conditions.seed)
    before: deque[Window] = deque(maxlen=conditions.warm_up)
    for round in range(stages[-1] + 1):  # rounds completed
        if round in stages:
            at = stream.windows(label, conditions.window, "shuffled", conditions.seed + NEXT)
            fresh = [torch.from_numpy(next(at)) for _ in range(conditions.windows)]
            y = torch.from_numpy(label)
            yield (
                round,
                Trace(
                    list(before),
                    [seen(model, preprocess(value[i]), y[i], conditions.whole_model) for i in fresh],
                    spec.class_count,
                ),
            )
            before.clear()
        position = next(arrivals)
        raw, y = value[position], torch.from_numpy(label[position])
        if any(stage - conditions.warm_up <= round < stage for stage in stages):
            before.append(seen(model, preprocess(raw), y, whole_model=False))
        batch = torch.randperm(len(y), generator=generator)[:BATCH]
        learner.step(preprocess(raw[batch]), y[batch], torch.ones(len(batch)), round + 1)


def seen(model: SplitModel, x: Tensor, label: Tensor, whole_model: bool) -> Window:
    """Return a window as the model sees it, in evaluation mode."""
    forward = scoring.score(model, x)
    gram = torch.zeros(0, 0, dtype=torch.float64)
    if whole_model:
        gram = whole_model_gram(model, x, label)
    residual = scoring.residual(forward.logits, label)
    return Window(label, forward.feature.clone(), residual.clone(), forward.hidden.clone(), gram)


def whole_model_gram(model: SplitModel, x: Tensor, label: Tensor) -> Tensor:
    """Return the inner products of the samples' gradients by all parameters, in evaluation mode: [n, n] float64."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    buffers = dict(model.named_buffers())

    def loss(own: dict[str, Tensor], one: Tensor, y: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, (own, buffers), (one.unsqueeze(0),))
        return torch.nn.functional.cross_entropy(logits, y.unsqueeze(0))

    with scoring.evaluating(model):
        gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, label)
    gram = torch.zeros(len(x), len(x), dtype=torch.float64)
    for gradient in gradients.values():  # one layer at a time: in float64 they would be large together
        flat = gradient.flatten(1).double()
        gram += flat @ flat.T
    return gram


def _data(conditions: Conditions) -> tuple[ModelSpec, Tensor, np.ndarray[Any, np.dtype[np.int64]]]:
    loaded = tasks.load(conditions.task)
    train, spec = loaded.dataset.train, loaded.spec
    if conditions.classes:
        train = train.at(np.flatnonzero(train.label < conditions.classes))
        spec = dataclasses.replace(spec, labels=spec.labels[: conditions.classes])
    if conditions.imbalance > 1:
        train = train.at(stream.imbalanced(train.label, conditions.imbalance, conditions.seed))
    label = stream.with_noise(train.label, spec.class_count, conditions.noise, conditions.seed)
    return spec, torch.from_numpy(np.ascontiguousarray(train.input)), label


def _arrays(trace: Trace) -> dict[str, Any]:
    arrays: dict[str, Any] = {"class_count": np.array(trace.class_count)}
    for part, windows in (("before", trace.before), ("at", trace.at)):
        for name in (field.name for field in dataclasses.fields(Window)):
            if windows:
                arrays[f"{part}.{name}"] = torch.stack([getattr(window, name) for window in windows]).numpy()
    return arrays


def _trace(arrays: dict[str, Tensor]) -> Trace:
    names = [field.name for field in dataclasses.fields(Window)]
    parts = {}
    for part in ("before", "at"):
        count = len(arrays[f"{part}.label"]) if f"{part}.label" in arrays else 0
        parts[part] = [Window(*(arrays[f"{part}.{name}"][i] for name in names)) for i in range(count)]
    return Trace(parts["before"], parts["at"], int(arrays["class_count"]))
