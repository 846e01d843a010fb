"""Compares the parameters with the best snapshot's, on the held-out samples and the golden set as they are now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from titand.clock import Clock
from titand.errors import CorruptFile, TitanError
from titand.learning.evaluation import Evaluation, count_answers
from titand.learning.gate import LEAST_SAMPLES, Pairs, Verdict, judge
from titand.runtime.arena import HELD_OUT, Arena
from titand.storage.manifests import MODEL_FILE
from titand.storage.snapshots import SnapshotStore
from titand.workers.golden import GoldenSet
from titand.workers.samples import SampleReader
from titand.workers.trainer import TrainerWorker

_PORTION = 64  # samples that are answered together


@dataclass(frozen=True)
class Comparison:
    """How the parameters answered some samples, and the best snapshot the same ones.

    Attributes:
        result: what the parameters answered.
        pairs: both; None where there is no best.
    """

    result: Evaluation
    pairs: Pairs | None

    def to_plain(self) -> dict[str, Any]:
        """Return it for reports and manifests."""
        plain: dict[str, Any] = {
            "class_counts": list(self.result.class_counts),
            "correct_counts": list(self.result.correct_counts),
            "confusions": self.result.confusions(),
            "loss": loss if (loss := self.result.loss) is not None and math.isfinite(loss) else None,
        }
        if self.pairs is not None:
            low, high = self.pairs.interval()
            plain |= {"better": self.pairs.better, "worse": self.pairs.worse}
            plain |= {"difference": self.pairs.difference, "difference_low": low, "difference_high": high}
        return plain


@dataclass(frozen=True)
class Gate:
    """What came of a comparison.

    Attributes:
        verdict: see `Verdict`.
        message: why, for people.
        round: whose parameters were judged.
        best: the snapshot that they were compared with; "" for the first.
        is_clearly_better: whether the whole interval of the difference is above 0, or there was no best.
        held_out: on the held-out samples.
        golden: on the golden set; None without one.
        judge_time_ns: wall clock.
    """

    verdict: Verdict
    message: str
    round: int
    best: str
    is_clearly_better: bool
    held_out: Comparison
    golden: Comparison | None
    judge_time_ns: int

    def to_plain(self) -> dict[str, Any]:
        """Return it for reports and manifests."""
        return {
            "verdict": self.verdict.value,
            "message": self.message,
            "round": self.round,
            "best": self.best,
            "held_out": self.held_out.to_plain(),
            "golden": None if self.golden is None else self.golden.to_plain(),
            "judge_time_ns": self.judge_time_ns,
        }


class Gatekeeper:
    """Judges the newest version against the best snapshot.

    The best snapshot's answers are remembered by sample, so it is loaded only for those that are new to it.

    Args:
        arena: where the held-out samples lie. Others may release them at any moment.
        worker: whose parameters are judged.
        store: where the best snapshot is.
        reader: of the arena, on the CPU.
        golden: further samples; None without.
        clock: stamps.
    """

    def __init__(
        self,
        arena: Arena,
        worker: TrainerWorker,
        store: SnapshotStore,
        reader: SampleReader,
        golden: GoldenSet | None,
        clock: Clock,
    ) -> None:
        self._arena = arena
        self._worker = worker
        self._store = store
        self._reader = reader
        self._golden = golden
        self._clock = clock
        self._class_count = reader.class_count
        self._mine: dict[int, int] = {}  # what the parameters judged last answered, by sample number
        self._best: dict[int, int] = {}  # what the best snapshot answered
        self._best_name = ""

    def judge(self, margin: float, error_rate: float) -> Gate:
        """Compare the newest version with the best snapshot; see `titand.learning.gate.judge`."""
        self._mine = {}
        best = self._store.best
        if best != self._best_name:
            self._best, self._best_name = {}, best
        model = self._model_of(best)
        if model is None:
            best = ""
        held_out = self._compare(_HeldOut(self._arena, self._reader), model)
        golden = None if self._golden is None else self._compare(self._golden, model)
        comparisons = [each for each in (held_out, golden) if each is not None]
        verdict = _verdict(comparisons, margin, error_rate)
        return Gate(
            verdict,
            _message(verdict, comparisons, best, margin),
            self._worker.version,
            best,
            held_out.pairs is None or held_out.pairs.interval()[0] > 0,
            held_out,
            golden,
            self._clock.wall_ns(),
        )

    def promote(self, name: str) -> None:
        """Call the snapshot of the parameters that were judged last the best.

        Raises:
            TitanError: the disk refuses, or it is gone.
        """
        self._store.promote(name)
        self._best, self._best_name = self._mine, name

    def answers_finitely(self) -> bool:
        """Tell whether the parameters give finite losses on the held-out samples; True where there are none."""
        batches = [(x, label) for _, x, label in _HeldOut(self._arena, self._reader).portions()]
        return all(math.isfinite(loss) for _, loss in self._worker.answers(batches[:1]))

    def _model_of(self, best: str) -> Mapping[str, Tensor] | None:
        try:
            return load_snapshot(self._store, best) if best else None
        except TitanError:
            return None  # a best that cannot be read is none: the next one takes its place

    def _compare(self, samples: _HeldOut | GoldenSet, model: Mapping[str, Tensor] | None) -> Comparison:
        truth: list[int] = []
        mine: list[int] = []
        best: list[int] = []
        loss_sum = 0.0
        for numbers, x, label in samples.portions():
            [(predicted, loss)] = self._worker.answers([(x, label)])
            self._mine.update(zip(numbers, predicted, strict=True))
            if model is not None:
                new = [row for row, number in enumerate(numbers) if number not in self._best]
                if new:
                    [(answered, _)] = self._worker.answers([(x[new], label[new])], model)
                    self._best.update(zip([numbers[row] for row in new], answered, strict=True))
                best += [self._best[number] for number in numbers]
            truth += label.tolist()
            mine += predicted
            loss_sum += loss
        result = count_answers(truth, mine, loss_sum, self._class_count)
        return Comparison(result, None if model is None else Pairs.of(_right(mine, truth), _right(best, truth)))


class _HeldOut:
    """The held-out samples in the arena, read while others may release them."""

    def __init__(self, arena: Arena, reader: SampleReader) -> None:
        self._arena = arena
        self._reader = reader

    def portions(self) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield numbers, normalised input [N, *shape] and labels [N]; what was released meanwhile is left out."""
        slots = self._arena.slots_in(HELD_OUT)
        for begin in range(0, len(slots), _PORTION):
            portion = slots[begin : begin + _PORTION]
            before = [self._arena.number[slot] for slot in portion]
            x, label = self._reader.inputs(portion), self._reader.labels(portion)
            rows = [
                row
                for row, slot in enumerate(portion)
                if self._arena.state[slot] == HELD_OUT and self._arena.number[slot] == before[row]
            ]
            if rows:
                yield [before[row] for row in rows], x[rows], label[rows]


def load_snapshot(store: SnapshotStore, name: str) -> dict[str, Tensor]:
    """Return a snapshot's values by name, checked against its manifest.

    Raises:
        NotFound: SNAPSHOT_NOT_FOUND.
        CorruptFile: it is not what was written.
        StorageError: the disk refuses.
    """
    store.verify(name)
    try:
        return dict(load_file(store.folder / name / MODEL_FILE))
    except (OSError, SafetensorError) as error:
        raise CorruptFile("SNAPSHOT_CORRUPT", f"{name} cannot be read: {error}.", "Use another snapshot.") from error


def _verdict(comparisons: Sequence[Comparison], margin: float, error_rate: float) -> Verdict:
    pairs = [each.pairs for each in comparisons if each.pairs is not None]
    if pairs:
        return judge(pairs, margin, error_rate)
    return Verdict.PROMOTED if comparisons[0].result.sample_count >= LEAST_SAMPLES else Verdict.UNJUDGED


def _message(verdict: Verdict, comparisons: Sequence[Comparison], best: str, margin: float) -> str:
    held_out = comparisons[0]
    if verdict is Verdict.UNJUDGED:
        return f"{held_out.result.sample_count} held-out samples say nothing; {LEAST_SAMPLES} are needed."
    if not best:
        return "It is the first."
    names = ("held-out samples", "golden samples")
    told = " and ".join(
        _difference(each.pairs, name) for each, name in zip(comparisons, names, strict=False) if each.pairs is not None
    )
    meaning = {
        Verdict.PROMOTED: "Not worse than",
        Verdict.KEPT: "Neither as good for sure as, nor worse for sure than,",
        Verdict.FAILED: f"Worse by more than {100 * margin:g} points than",
    }[verdict]
    return f"{meaning} {best}: {told}."


def _difference(pairs: Pairs, what: str) -> str:
    low, high = pairs.interval()
    return f"{100 * pairs.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}) on {pairs.count} {what}"


def _right(answers: Sequence[int], truth: Sequence[int]) -> list[bool]:
    return [answer == label for answer, label in zip(answers, truth, strict=True)]
