"""The methods whose batch gradients are compared: what goes before the draw, and the draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.variance.trace import Trace, Window
from titand.selection.candidate_buffer import CandidateBuffer
from titand.selection.candidates import CandidateSet
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.importance import Scores
from titand.selection.selector import make_selector

LIMIT = "limit"  # of any predictor: the filter is told the true importance


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        title: for tables.
        policy: of the selector.
        rule: of the coarse filter, or `LIMIT`; "" keeps the whole window.
        options: of the selector.
    """

    title: str
    policy: str
    rule: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


METHODS: Mapping[str, Method] = {
    "rs": Method("RS", "rs"),
    "stratified": Method("RS by class", "stratified"),
    "is": Method("IS, whole window", "is"),
    "cis": Method("C-IS exact, whole window", "cis"),
    "two-stage": Method("two stages, stratified", "cis", "stratified"),
    "predicted": Method("two stages, predicted importance", "cis", "predicted"),
    "limit": Method("two stages, true importance (the limit)", "cis", LIMIT),
    "uniform": Method("two stages, uniform reservoir", "cis", "uniform"),
    "rep-div": Method("two stages, Rep + Div as printed", "cis", "rep-div"),
    "beta-0.5": Method("two stages, stratified, weights^0.5", "cis", "stratified", {"weight_exponent": 0.5}),
    "beta-0": Method("two stages, stratified, plain average", "cis", "stratified", {"weight_exponent": 0.0}),
}


class Estimator:
    """A method at work on a trace: it learns on the windows before the stage, and then stays as it is.

    Args:
        method: which one.
        trace: what it learns on.
        batch_size: draws, B.
        capacity: candidates that the filter may keep, C.
        seed: of all its chance.
    """

    def __init__(self, method: Method, trace: Trace, batch_size: int, capacity: int, seed: int) -> None:
        self._method = method
        self._batch_size = batch_size
        self._capacity = capacity
        self._generator = torch.Generator().manual_seed(seed)
        self._selector = make_selector(method.policy, **method.options)
        self._filter = None
        if method.rule not in ("", LIMIT):
            size = trace.at[0].feature.shape[1]
            self._filter = CoarseFilter(trace.class_count, capacity, size, rule=method.rule, generator=self._generator)
            for window in trace.before if self._filter.needs_feature else ():
                candidates = self._candidates(window)
                row = torch.tensor(candidates.key)
                scores = scores_of(window, row)
                feature = window.feature[row]
                self._filter.learn(candidates.label, feature, scores.gradient.norm(), scores.probability)

    def coefficients(self, window: Window) -> Tensor:
        """Return c of a draw: the batch's gradient is sum_i c_i g_i over the window, [n] float64."""
        candidates = self._candidates(window)
        row = torch.tensor(candidates.key)
        draw = self._selector.select(candidates, scores_of(window, row), self._batch_size, self._generator)
        coefficient = torch.zeros(len(window.label), dtype=torch.float64)
        coefficient[row[draw.index]] = draw.sample_weight / len(draw.index)
        return coefficient

    def _candidates(self, window: Window) -> CandidateSet:
        if self._filter is not None:
            self._filter.offer(range(len(window.label)), window.label, window.feature)
            return self._filter.cut()
        capacity = self._capacity if self._method.rule == LIMIT else len(window.label)
        return sampled(window.label, window.gradient.norm(), capacity, self._generator)


def sampled(label: Tensor, size: Tensor, capacity: int, generator: torch.Generator) -> CandidateSet:
    """Return the candidates that a filter would leave if it were told these sizes.

    Sizes below a thousandth of the mean count as that: a reservoir takes none of zero.
    """
    buffer = CandidateBuffer(capacity)
    size = size.clamp(min=max(1e-3 * float(size.mean()), 1e-30))
    chance = torch.rand(len(label), dtype=torch.float64, generator=generator).tolist()
    for position, y in enumerate(label.tolist()):
        buffer.put(position, y, float(size[position]))
        if buffer.is_full:
            buffer.shed(chance[position])
    kept = [item for _, item in buffer]
    key = [item.key for item in kept]
    weight = torch.tensor([item.inverse_probability for item in kept], dtype=torch.float64)
    return CandidateSet(tuple(key), label[key], weight, torch.bincount(label))


def scores_of(window: Window, row: Tensor) -> Scores:
    """Return what one forward pass says about some rows of a window."""
    gradient, label = window.gradient.take(row), window.label[row].unsqueeze(1)
    right = torch.ones_like(label, dtype=gradient.residual.dtype)
    probability = gradient.residual.scatter_add(1, label, right)
    return Scores(gradient, -probability.gather(1, label).squeeze(1).clamp(min=1e-30).log(), probability)
