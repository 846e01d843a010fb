"""Stage one: cheap, per arrival, on shallow features; leaves a few candidates of each window."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from titand.selection.candidate_buffer import CandidateBuffer
from titand.selection.candidates import CandidateSet
from titand.selection.class_stats import ClassStatistics
from titand.selection.early_exit import EarlyExit
from titand.selection.score_queue import ScoreQueue

RULES = ("stratified", "predicted", "uniform", "rep-div")


class CoarseFilter:
    """Takes arrivals in micro-batches and keeps at most `capacity` candidates of the window.

    Each arrival has a size q_i; the buffer is a VarOpt reservoir per class, its slots shared in proportion
    to the sizes that arrived (`candidate_buffer.py`). So each candidate stands for a_i arrivals, and sums
    over the window are estimated without bias through stage one. The rules differ in q_i:

    - "stratified": q_i = 1, a uniform sample of each class, in proportion to the stream. Needs no feature.
    - "predicted": q_i = predicted importance over a floor (`early_exit.py`).
    - "uniform": q_i = 1 in one reservoir over all classes, the control. Needs no feature.
    - "rep-div": no reservoir but the paper's queue of largest representativeness + diversity. As printed the
      two cancel (`class_stats.py`): the score is the variance of the class, so the queue fills with the most
      scattered classes, rounding decides within them, and the estimate is biased. Kept for comparison.

    Args:
        class_count: C.
        capacity: candidates of a window, >= 1. May be set at any time; a smaller one takes effect with the
            next `offer`.
        feature_size: F, of the flattened first-block feature; 0 if none is ever offered.
        rule: one of the above.
        decay: of the class statistics, per window.
        generator: of the filter's chance, on the CPU.
        device: where features come from.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> coarse = CoarseFilter(class_count=2, capacity=3, feature_size=0, generator=generator)
        >>> turned_away = coarse.offer([10, 11, 12, 13], torch.tensor([0, 0, 0, 1]), None)
        >>> len(turned_away), turned_away[0] in (10, 11, 12)
        (1, True)
        >>> candidates = coarse.cut()
        >>> candidates.label.tolist(), candidates.stage_weight.tolist(), candidates.window_size
        ([0, 0, 1], [1.5, 1.5, 1.0], 4)
    """

    def __init__(
        self,
        class_count: int,
        capacity: int,
        feature_size: int,
        *,
        rule: str = "stratified",
        decay: float = 0.9,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        if rule not in RULES:
            nearest = difflib.get_close_matches(rule, RULES, n=1, cutoff=0.0)[0]
            raise ValueError(f"unknown filter rule {rule!r}; the nearest one is {nearest!r}")
        self.rule = rule
        self._generator = generator
        self._statistics = ClassStatistics(class_count, feature_size, decay, device)
        self._early_exit = EarlyExit(class_count, feature_size, device) if rule == "predicted" else None
        self._buffer = ScoreQueue(capacity) if rule == "rep-div" else CandidateBuffer(capacity)
        self.capacity = capacity
        self._class_count = [0] * class_count
        self._label: dict[int, int] = {}

    @property
    def needs_feature(self) -> bool:
        """Whether `offer` must be given features."""
        return self.rule in ("predicted", "rep-div")

    @property
    def capacity(self) -> int:
        """Candidates that a window may leave."""
        return self._buffer.capacity

    @capacity.setter
    def capacity(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"candidate capacity: expected an integer above 0, got {capacity}")
        self._buffer.capacity = capacity

    def __len__(self) -> int:
        return len(self._buffer)

    def offer(self, key: Sequence[int], label: Tensor, feature: Tensor | None) -> list[int]:
        """Take a micro-batch of arrivals.

        Args:
            key: [N] the caller's handles, unique in the window.
            label: [N] int64 class ids.
            feature: [N, F] first-block features, or None where the rule needs none. A row that is not finite
                says nothing about its class; the sample itself stays in play with q_i = 1.

        Returns:
            Keys turned away, of these arrivals or of earlier ones.

        Raises:
            ValueError: lengths differ, a label is out of range, or a needed feature is missing.
        """
        classes: list[int] = label.tolist()
        if len(key) != len(classes):
            raise ValueError(f"{len(key)} keys for {len(classes)} labels")
        if classes and not (min(classes) >= 0 and max(classes) < len(self._class_count)):
            raise ValueError(f"a label is outside 0 to {len(self._class_count) - 1}")
        sizes = self._sizes(label, feature)
        chances = torch.rand(len(classes), dtype=torch.float64, generator=self._generator).tolist()
        turned_away = []
        buffer, is_stratified = self._buffer, self.rule != "uniform"
        for k, y, size, chance in zip(key, classes, sizes, chances, strict=True):
            self._class_count[y] += 1
            self._label[k] = y
            buffer.put(k, y if is_stratified else 0, size)
            if buffer.is_full:
                turned_away.append(buffer.shed(chance))
        while buffer.is_full:  # the capacity has been lowered
            chance = torch.rand((), dtype=torch.float64, generator=self._generator).item()
            turned_away.append(buffer.shed(chance))
        for k in turned_away:
            del self._label[k]
        return turned_away

    def relabel(self, key: int, label: int) -> None:
        """Correct the class of a candidate.

        It goes on standing for as many arrivals as before, so that sums over the window stay unbiased: which samples
        were kept was left to chance, and no label changes that. What its feature added to the statistics of the old
        class stays there, and fades.

        Args:
            key: of a candidate of this window.
            label: its class id.

        Raises:
            ValueError: the label is out of range.
            KeyError: the sample is no candidate.
        """
        if not 0 <= label < len(self._class_count):
            raise ValueError(f"a label is outside 0 to {len(self._class_count) - 1}")
        self._class_count[self._label[key]] -= 1
        self._class_count[label] += 1
        self._label[key] = label

    def cut(self) -> CandidateSet:
        """Close the window: return its candidates and start the next one with an empty buffer."""
        kept = [item for _, item in self._buffer]
        candidates = CandidateSet(
            key=tuple(item.key for item in kept),
            label=torch.tensor([self._label[item.key] for item in kept], dtype=torch.int64),
            stage_weight=torch.tensor([item.inverse_probability for item in kept], dtype=torch.float64),
            class_count=torch.tensor(self._class_count, dtype=torch.int64),
            by_class=self.rule != "uniform",
        )
        self._buffer.clear()
        self._label.clear()
        self._class_count = [0] * len(self._class_count)
        self._statistics.age()
        return candidates

    def learn(self, label: Tensor, feature: Tensor, importance: Tensor, probability: Tensor) -> None:
        """Take what stage two found for its candidates.

        Trains the predictor; the other rules have nothing to learn. Rows that are not finite are left out.

        Args:
            label: [K] int64 class ids.
            feature: [K, F] the features that were offered.
            importance: [K] sample importance |g_i|.
            probability: [K, C] the model's softmax.
        """
        if self._early_exit is None:
            return
        label, importance = label.to(feature.device), importance.to(feature.device)
        sound = feature.isfinite().all(dim=1) & importance.isfinite() & probability.isfinite().all(dim=1)
        if sound.any():
            self._early_exit.learn(label[sound], feature[sound], importance[sound], probability[sound])

    def window(self) -> dict[str, Any]:
        """Return the window that is open: what arrived, and the candidates kept of it, by key."""
        return {
            "buffer": self._buffer.to_plain(),
            "class_count": self._class_count,
            "labels": list(self._label.items()),
            "rule": self.rule,
        }

    def restore_window(self, window: Mapping[str, Any], key_of: Mapping[int, int]) -> None:
        """Go on with a window that `window` gave; what was called `key` then is called `key_of[key]` now.

        Raises:
            ValueError: it is of another rule.
        """
        if window["rule"] != self.rule:
            raise ValueError(f"the window was filtered by the rule {window['rule']!r}")
        self._buffer.restore(window["buffer"], key_of)
        self._class_count = list(window["class_count"])
        self._label = {key_of[key]: label for key, label in window["labels"]}

    def state(self) -> dict[str, Tensor]:
        """Return what the filter has learned, and its generator; not the window."""
        state = {f"statistics.{name}": tensor for name, tensor in self._statistics.state().items()}
        if self._early_exit is not None:
            state |= {f"early_exit.{name}": tensor for name, tensor in self._early_exit.state().items()}
        return {name: tensor.clone() for name, tensor in state.items()} | {"generator": self._generator.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave.

        Raises:
            ValueError: a tensor is missing or has another shape: another model, or another rule.
        """
        missing = self.state().keys() - state.keys()
        if missing:
            raise ValueError(f"the filter's state lacks {', '.join(sorted(missing))}")
        self._statistics.restore(_under("statistics.", state))
        if self._early_exit is not None:
            self._early_exit.restore(_under("early_exit.", state))
        self._generator.set_state(state["generator"])

    def _sizes(self, label: Tensor, feature: Tensor | None) -> list[float]:
        """Update what is known of the classes, then return the size of each arrival."""
        if feature is None:
            if self.needs_feature:
                raise ValueError(f"the filter rule {self.rule!r} needs features")
            return [1.0] * len(label)
        sound = feature.isfinite().all(dim=1)
        size = torch.ones(len(label), dtype=torch.float64)
        if sound.any():
            label, feature = label.to(feature.device)[sound], feature[sound]
            self._statistics.update(label, feature)
            if self._early_exit is not None:
                size[sound.cpu()] = self._early_exit.size(label, feature)
            elif self.rule == "rep-div":
                score = self._statistics.representativeness(label, feature)
                score += self._statistics.diversity(label, feature)
                size[sound.cpu()] = score.cpu()
        sizes: list[float] = size.tolist()
        return sizes


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
