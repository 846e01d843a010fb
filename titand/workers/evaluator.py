"""What is known of the model from answers it was not trained on: held-out samples, arrivals, labels that look wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from titand.learning import scoring
from titand.learning.evaluation import Evaluation, count_answers
from titand.selection.candidates import CandidateSet
from titand.selection.importance import Scores
from titand.workers.held_out import HeldOut
from titand.workers.model_on_board import ModelOnBoard
from titand.workers.prequential import Prequential
from titand.workers.samples import SampleReader
from titand.workers.suspicion import Suspicion


class Evaluator:
    """Asks, and remembers the answers; chooses and trains nothing.

    Args:
        reader: of samples by slot.
        parameters: of the model that answers.
        held_out: samples that are never trained on.
        prequential: of the answers to arrivals.
        suspicion: of labels.
    """

    def __init__(
        self,
        reader: SampleReader,
        parameters: ModelOnBoard,
        held_out: HeldOut,
        prequential: Prequential,
        suspicion: Suspicion,
    ) -> None:
        self._reader = reader
        self._parameters = parameters
        self.held_out = held_out
        self._prequential = prequential
        self.suspicion = suspicion
        self._last_sweep_round = 0

    def on_scored(self, candidates: CandidateSet, scores: Scores, round: int) -> None:
        """Take the answers to candidates, which no update has seen yet."""
        is_right = scores.probability.argmax(dim=1).cpu() == candidates.label
        known = scores.finite().cpu()
        self._prequential.observe(is_right[known], candidates.stage_weight[known], round)
        self.suspicion.on_scored(self._reader.numbers(candidates.key), candidates.label, scores)

    def is_due(self, round: int, every_rounds: int) -> bool:
        """Tell whether held-out samples are to be asked: a sweep over them is under way, or one is due."""
        if self.held_out.is_sweeping:
            return True
        is_old = round - self._last_sweep_round >= every_rounds
        return len(self.held_out) > 0 and (is_old or self.held_out.latest is None)

    def ask_some(self, round: int) -> None:
        """Ask a portion of the held-out samples."""
        if not self.held_out.is_sweeping:
            self._last_sweep_round = round
            self.held_out.begin_sweep()
        self.held_out.ask_portion(self._ask, self._parameters.version)

    def _ask(self, slots: Sequence[int]) -> Evaluation:
        label = self._reader.labels(slots)
        with self._parameters.served():
            forward = scoring.score(self._parameters.model, self._reader.inputs(slots))
        probability = torch.softmax(forward.logits, dim=1)
        self.suspicion.on_held_out(self._reader.numbers(slots), label, forward.hidden, probability)
        loss = nn.functional.cross_entropy(forward.logits, label.to(forward.logits.device), reduction="sum")
        predicted = forward.logits.argmax(dim=1).tolist()
        return count_answers(label.tolist(), predicted, float(loss), self._reader.class_count)

    # ---- what outlives the process, and what is said

    def to_plain(self) -> dict[str, Any]:
        """Return what a successor goes on from; the samples are in the arena."""
        return {
            "held_out": self.held_out.to_plain(),
            "last_sweep_round": self._last_sweep_round,
            "answers": self._prequential.counts,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Continue from what `to_plain` gave."""
        self.held_out.restore(plain["held_out"])
        self._last_sweep_round = plain["last_sweep_round"]
        self._prequential.counts = plain["answers"]

    def health(self) -> list[dict[str, Any]]:
        """Return what needs attention."""
        return self._prequential.health()

    def report(self) -> dict[str, Any]:
        """Return what the board says."""
        report: dict[str, Any] = {}
        if self._prequential.accuracy is not None:
            report["prequential_accuracy"] = self._prequential.accuracy
        if self.held_out.latest is not None:
            result = self.held_out.latest.result
            low, high = result.interval
            report |= {
                "accuracy": result.accuracy,
                "accuracy_margin": (high - low) / 2,
                "sample_count": result.sample_count,
                "version": self.held_out.latest.version,
                "loss": result.loss,
                "class_accuracies": list(result.class_accuracy),
                "confusions": result.confusions(),
            }
        return report
