"""The selector without its process: filled slots and permits in, batches out."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from titand.clock import Clock
from titand.learning import scoring
from titand.records import Batch, Permit
from titand.runtime.arena import CANDIDATE, EVICTED, FILLED, FILTERED, HELD_OUT, INVALID, SELECTED, Arena
from titand.selection.candidates import CandidateSet
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.contradiction import Contradiction
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.sampling import Draw, temper
from titand.selection.selector import Selector, make_selector
from titand.telemetry.stages import Stages
from titand.workers.evaluator import Evaluator
from titand.workers.held_out import is_held_out
from titand.workers.judge import Judge
from titand.workers.model_on_board import ModelOnBoard
from titand.workers.samples import SampleReader


@dataclass
class Budgets:
    """What may change between rounds."""

    candidates: int
    round_samples: int
    micro_batch: int
    evaluate_every: int


class SelectorWorker:
    """Stage one on arrival, stage two on permit.

    Args:
        arena: where samples wait; this worker owns those in FILLED, CANDIDATE and HELD_OUT.
        reader: of the samples there.
        parameters: of the model, as the trainer publishes them.
        coarse_filter: stage one.
        selector: stage two, with unbiased sample weights.
        judge: says when stage two rests, and batches are random within the classes.
        contradiction: sets the exponent that the sample weights get.
        evaluator: asks the model what it was not trained on.
        held_out_ratio: share of arrivals that is never trained on.
        batch_size: B.
        budgets: what may change between rounds.
        generator: of every draw.
        clock: times the stages.
    """

    def __init__(
        self,
        arena: Arena,
        reader: SampleReader,
        parameters: ModelOnBoard,
        coarse_filter: CoarseFilter,
        selector: Selector,
        judge: Judge,
        contradiction: Contradiction,
        evaluator: Evaluator,
        held_out_ratio: float,
        batch_size: int,
        budgets: Budgets,
        generator: torch.Generator,
        clock: Clock,
    ) -> None:
        self._arena = arena
        self._reader = reader
        self._parameters = parameters
        self._filter = coarse_filter
        self._selector = selector
        self._random = make_selector("stratified")
        self._judge = judge
        self._contradiction = contradiction
        self.evaluator = evaluator
        self._held_out_ratio = held_out_ratio
        self._batch_size = batch_size
        self.budgets = budgets
        self._generator = generator
        self._clock = clock
        self.stages = Stages(clock)
        self._waiting: deque[int] = deque()
        self.window_size = 0
        self.invalid_count = 0
        self.candidates: frozenset[int] = frozenset()  # slots of a window that was restored

    # ---- stage one

    def on_filled(self) -> bool:
        """Filter one micro-batch of waiting samples; return whether more are waiting."""
        self._look_for_arrivals()
        arrivals: list[int] = []
        while self._waiting and len(arrivals) < self.budgets.micro_batch:
            slot = self._waiting.popleft()
            if is_held_out(self._arena.number[slot], self._held_out_ratio):
                self.evaluator.held_out.keep(slot)
            else:
                arrivals.append(slot)
        if arrivals:
            with self.stages.timed("filter"):
                self._offer(arrivals)
        # Again: what was filled while some were still waiting has been announced already, and will not be once more.
        self._look_for_arrivals()
        return bool(self._waiting)

    def _look_for_arrivals(self) -> None:
        if not self._waiting:
            self._waiting.extend(self._arena.slots_in(FILLED))

    def _offer(self, slots: list[int]) -> None:
        label = self._reader.labels(slots)
        feature = self._parameters.feature(self._reader.inputs(slots)) if self._filter.needs_feature else None
        # Candidates first: were we to die inside, the slots would be found and filtered again.
        self._arena.mark(slots, CANDIDATE)
        self._arena.mark(self._filter.offer(slots, label, feature), FILTERED)
        self.window_size += len(slots)

    # ---- labels that are corrected

    def correct(self, slot: int, number: int, label: int) -> str:
        """Give a sample another label as long as nothing but this worker has used the one it has.

        Args:
            slot: where the sample was when the correction was sent.
            number: of the sample.
            label: its class id.

        Returns:
            "corrected", "unchanged" where it has this label, or "too_late" where it is selected or gone.
        """
        arena, state = self._arena, self._arena.state[slot]
        if arena.number[slot] != number or state not in (FILLED, CANDIDATE, HELD_OUT):
            return "too_late"
        if arena.label[slot] == label:
            return "unchanged"
        if state == HELD_OUT:
            self.evaluator.held_out.relabel(slot, label)
        elif state == CANDIDATE:
            self._filter.relabel(slot, label)
        arena.label[slot] = label
        self.evaluator.suspicion.forget(number)
        return "corrected"

    # ---- stage two

    @property
    def is_window_ready(self) -> bool:
        """Whether enough samples have arrived since the last cut for a round to be worth it."""
        return self.window_size >= self.budgets.round_samples

    def on_permit(self, permit: Permit) -> Batch:
        """Cut the window and choose the batch of a round, scored with the version that the permit names."""
        start = self._clock.monotonic_ns()
        self._parameters.load(permit.version)
        candidates = self._filter.cut()
        self._filter.capacity = self.budgets.candidates
        self.evaluator.held_out.after_round()
        self.window_size = 0
        draw = self._choose(candidates, permit.round)
        slots = self._hand_over(candidates, draw, permit.round)
        took_ns = self._clock.monotonic_ns() - start
        self.stages.record("select", took_ns)
        return Batch(
            permit.round,
            tuple(slots),
            tuple(draw.sample_weight.tolist()),
            permit.version,
            {
                "window_size": candidates.window_size,
                "candidate_count": len(candidates.key),
                "variance_ratio": draw.variance_ratio,
                "select_seconds": took_ns / 1e9,
                "class_draw_counts": torch.bincount(
                    candidates.label[draw.index], minlength=self._reader.class_count
                ).tolist(),
            },
        )

    @property
    def _is_scoring(self) -> bool:
        return self._selector.needs_scores and not self._judge.is_resting

    def _choose(self, candidates: CandidateSet, round: int) -> Draw:
        if self._judge.is_resting:
            self._judge.after_rest()
            return self._random.select(candidates, None, self._batch_size, self._generator)
        if not self._selector.needs_scores:
            return self._selector.select(candidates, None, self._batch_size, self._generator)
        with self.stages.timed("score"):
            scores, feature = self._score(candidates)
        with self.stages.timed("suspect"):
            self.evaluator.on_scored(candidates, scores, round)
        if self._filter.needs_feature:
            self._filter.learn(candidates.label, feature, scores.gradient.norm(), scores.probability)
        draw = self._selector.select(candidates, scores, self._batch_size, self._generator)
        with self.stages.timed("judge"):
            # Of the choice alone, with unbiased weights: emphasis raises the loss on its way to fewer errors.
            self._judge.after_selection(candidates, scores.gradient.hidden, draw, round)
        weight = temper(draw.sample_weight, self._contradiction.exponent)
        self._contradiction.observe(candidates, scores.probability)
        return dataclasses.replace(draw, sample_weight=weight)

    def _score(self, candidates: CandidateSet) -> tuple[Scores, Tensor]:
        x = self._reader.inputs(candidates.key)
        forward = scoring.score(self._parameters.model, x)
        label = candidates.label.to(forward.logits.device)
        residual = scoring.residual(forward.logits, label)
        scores = Scores(
            LastLayerGradient(residual, forward.hidden),
            nn.functional.cross_entropy(forward.logits, label, reduction="none"),
            torch.softmax(forward.logits, dim=1),
            x,
        )
        return scores, forward.feature

    def _hand_over(self, candidates: CandidateSet, draw: Draw, round: int) -> list[int]:
        selected = [candidates.key[row] for row in draw.index.tolist()]
        invalid = [candidates.key[row] for row in draw.dropped.tolist()]
        for slot in selected:
            self._arena.round[slot] = round  # before the state: recovery asks a selected slot for its round
            self._arena.state[slot] = SELECTED
        self._arena.mark(invalid, INVALID)
        self.invalid_count += len(invalid)
        gone = {*selected, *invalid}
        self._arena.mark([slot for slot in candidates.key if slot not in gone], EVICTED)
        return selected

    # ---- evaluation

    def evaluate_some(self, round: int) -> bool:
        """Ask a portion of the held-out samples if a sweep is due; return whether there was anything to do.

        Only between a permit and its batch: later the trainer writes over the parameters.
        """
        if not self.evaluator.is_due(round, self.budgets.evaluate_every):
            return False
        with self.stages.timed("evaluate"):
            self.evaluator.ask_some(round)
        return True

    def load(self, version: int) -> None:
        """Take over the parameters that a permit names."""
        self._parameters.load(version)

    # ---- what outlives the process

    def state(self, with_window: bool = False) -> dict[str, Tensor]:
        """Return what was learned about the stream, for checkpoints and for a successor.

        Args:
            with_window: the open window too. It fits the arena only as long as nothing moves there any more.
        """
        parts = {
            "filter": self._filter.state(),
            "contradiction": self._contradiction.state(),
            "judge": self._judge.state(),
        }
        learned = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        plain = {
            "judge": self._judge.to_plain(),
            **self.evaluator.to_plain(),
            "window": self._window() if with_window else None,
        }
        text = torch.frombuffer(bytearray(json.dumps(plain).encode()), dtype=torch.uint8)
        return {**learned, "generator": self._generator.get_state(), "plain": text}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave.

        Raises:
            ValueError, KeyError: it is of another model or rule.
        """
        self._generator.set_state(state["generator"])
        self._filter.restore(_part(state, "filter"))
        self._contradiction.restore(_part(state, "contradiction"))
        plain = json.loads(bytes(state["plain"].tolist()))
        self._judge.restore(_part(state, "judge"), plain["judge"])
        self.evaluator.restore(plain)
        if plain["window"] is not None:
            self._restore_window(plain["window"])

    def _window(self) -> dict[str, Any]:
        slots = self._arena.slots_in(CANDIDATE)
        return {
            "size": self.window_size,
            "numbers": [[slot, self._arena.number[slot]] for slot in slots],
            "filter": self._filter.window(),
        }

    def _restore_window(self, window: Mapping[str, Any]) -> None:
        """Go on with a window, if its candidates are just those that are here, in whatever slots."""
        here = {self._arena.number[slot]: slot for slot in self._arena.slots_in(CANDIDATE)}
        if {number for _, number in window["numbers"]} != here.keys():
            return
        self._filter.restore_window(window["filter"], {slot: here[number] for slot, number in window["numbers"]})
        for slot in here.values():  # a label may have been corrected since
            self._filter.relabel(slot, self._arena.label[slot])
        self.window_size = window["size"]
        self.candidates = frozenset(here.values())

    def health(self) -> list[dict[str, Any]]:
        """Return what needs attention."""
        items = self.evaluator.health()
        if self.invalid_count:
            text = (
                f"{self.invalid_count} samples gave scores that are not finite and were rejected. Where the parameters"
                " are to blame the guard goes back to the best snapshot; if it goes on, lower training.learning_rate."
            )
            items.append({"code": "SCORES_NOT_FINITE", "severity": "warning", "message": text, "since_ns": 0})
        return items

    def report(self) -> dict[str, Any]:
        """Return what the board says about this worker."""
        return {
            "device": str(self._parameters.device),
            "candidate_budget": self.budgets.candidates,
            "batch_size": self._batch_size,
            "window_size": self.window_size,
            "invalid_count": self.invalid_count,
            "evaluation": self.evaluator.report(),
            **self._judge.report(),
            "weight_exponent": self._contradiction.exponent if self._is_scoring else None,
            "contradicted_share": self._contradiction.share,
            "stages": self.stages.to_plain(),
        }


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key[len(prefix) :]: tensor for key, tensor in state.items() if key.startswith(prefix)}
