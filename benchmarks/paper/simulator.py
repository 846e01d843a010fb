"""The service's rounds in one process, out of the daemon's own selection and learning code.

Window -> coarse filter -> scores -> selector -> weighted batch -> step. With the one-round delay, the batch of round r
is scored with version r - 2 (version 0 in the first two rounds), and arrivals are filtered with the first block of the
version that the round before was scored with: what `titand.workers` does, which a test compares sample by sample.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from benchmarks.paper.chosen import Chosen
from benchmarks.paper.methods import METHODS, selector_of
from benchmarks.paper.rules import RATE_RULES, RULES
from benchmarks.paper.settings import Settings
from titand.learning import schedules, scoring
from titand.learning.models.split import SplitModel
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.preprocess import Preprocess
from titand.learning.state import copy as copy_state
from titand.learning.state import model_tensors
from titand.learning.trainer import Learner, StepReport
from titand.records import ModelSpec
from titand.selection.candidates import CandidateSet
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.importance import LastLayerGradient, Scores


class Choosing:
    """The selector's side: a model of an older version, the filter, the selector."""

    def __init__(self, settings: Settings, spec: ModelSpec) -> None:
        self._settings = settings
        self._method = METHODS[settings.method]
        self._preprocess = Preprocess(spec)
        self.model = build(spec, settings.seed).eval()
        self._view = deeper(self.model, settings.depth)
        rule = self._method.rule
        self._filter = CoarseFilter(
            spec.class_count,
            settings.candidates if rule else 1_000_000,
            feature_size(self._view, spec) if rule in ("predicted", "rep-div") else 0,
            rule=rule or "stratified",
            generator=torch.Generator().manual_seed(settings.seed + 1),
        )
        self._generator = torch.Generator().manual_seed(settings.seed + 2)
        self.beta = settings.beta

    def on_window(self, raw: Tensor, label: Tensor) -> None:
        """Filter the arrivals of a window, with the model as it is."""
        feature = None
        if self._filter.needs_feature:
            feature = scoring.first_block_feature(self._view, self._preprocess(raw))
        self._filter.offer(range(len(label)), label, feature)

    def choose(self, raw: Tensor) -> Chosen:
        """Choose the batch from the candidates of the window that `raw` is of, with the model as it is."""
        candidates = self._filter.cut()
        selector = selector_of(self._method, self.beta, self._settings.least)
        scores = self._score(candidates, raw) if selector.needs_scores else None
        draw = selector.select(candidates, scores, self._settings.batch, self._generator)
        position = torch.tensor(candidates.key, dtype=torch.int64)[draw.index]
        return Chosen(position, draw, candidates, scores)

    def _score(self, candidates: CandidateSet, raw: Tensor) -> Scores:
        x = self._preprocess(raw[torch.tensor(candidates.key)])
        forward = scoring.score(self._view, x)
        gradient = LastLayerGradient(scoring.residual(forward.logits, candidates.label), forward.hidden)
        probability = torch.softmax(forward.logits, dim=1)
        if self._filter.needs_feature:
            self._filter.learn(candidates.label, forward.feature, gradient.norm(), probability)
        loss = nn.functional.cross_entropy(forward.logits, candidates.label, reduction="none")
        inputs = x if self._method.policy == "camel" else None
        return Scores(gradient, loss, probability, inputs)


class Simulation:
    """A run, a round at a time.

    Attributes:
        learner: the trainer's side.
        choosing: the selector's side.
        round: rounds completed, which is the version of the learner's parameters.
        scored_version: the version that the last batch was scored with.
    """

    def __init__(self, settings: Settings, spec: ModelSpec) -> None:
        model = build(spec, settings.seed)
        options = {"momentum": settings.momentum} if settings.momentum else {}
        optimizer = build_optimizer("sgd", dict(model.named_parameters()), **options)
        self._rule = RULES[settings.rule]() if settings.rule else None
        self._rate_rule = RATE_RULES[settings.rate_rule]() if settings.rate_rule else None
        self._rate_factor = 1.0
        schedule = schedules.step(settings.rate, settings.decay, settings.decay_rounds)
        self.learner = Learner(model, optimizer, lambda round: schedule(round) * self._rate_factor)
        self.choosing = Choosing(settings, spec)
        self._preprocess = Preprocess(spec)
        self._has_delay = settings.delay
        self._permitted = copy.deepcopy(model_tensors(model))  # the version that the next batch is scored with
        self._permitted_version = 0
        self.round = 0
        self.scored_version = 0

    def step(self, raw: Tensor, label: Tensor) -> tuple[Chosen, StepReport]:
        """Run one round on a window: raw samples [n, *shape] and their labels [n]."""
        self.choosing.on_window(raw, label)
        if not self._has_delay:
            self._permit()
        copy_state(self._permitted, model_tensors(self.choosing.model))
        self.scored_version = self._permitted_version
        chosen = self.choosing.choose(raw)
        if self._has_delay:
            self._permit()
        x = self._preprocess(raw[chosen.position])
        self._follow_rules(chosen)
        self.round += 1
        report = self.learner.step(x, label[chosen.position], chosen.draw.sample_weight.float(), self.round)
        return chosen, report

    def _follow_rules(self, chosen: Chosen) -> None:
        if self._rule is not None:
            self._rule.after(chosen)
            self.choosing.beta = self._rule.value
        if self._rate_rule is not None:
            self._rate_rule.after(chosen)
            self._rate_factor = self._rate_rule.value

    def _permit(self) -> None:
        copy_state(model_tensors(self.learner.model), self._permitted)
        self._permitted_version = self.round


def deeper(model: SplitModel, depth: int) -> SplitModel:
    """Return the same model, parameters shared, with so many blocks counted as its first one.

    Raises:
        ValueError: it has not that many.
    """
    if depth == 1:
        return model
    rest = list(model.rest) if isinstance(model.rest, nn.Sequential) else []
    if not 1 <= depth <= len(rest) + 1:
        raise ValueError(f"depth: expected 1 to {len(rest) + 1}, got {depth}")
    first = nn.Sequential(model.first_block, *rest[: depth - 1])
    return SplitModel(first, nn.Sequential(*rest[depth - 1 :]), model.head).eval()


def feature_size(model: SplitModel, spec: ModelSpec) -> int:
    """Return how many numbers the filter sees of a sample."""
    return scoring.first_block_feature(model, torch.zeros(1, *spec.input.shape)).shape[1]
