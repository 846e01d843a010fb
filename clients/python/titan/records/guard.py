"""What keeps the model from getting worse unnoticed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Confusion:
    """Samples of one class that were taken for another."""

    label: int
    predicted: int
    count: int


@dataclass(frozen=True)
class Comparison:
    """How a model answered some samples, and the best snapshot the same; no difference where there was no best.

    Attributes:
        class_counts: samples of each class.
        correct_counts: of these, named correctly.
        confusions: what was taken for what, the most frequent first.
        better_count: samples that only the judged model names correctly.
        worse_count: samples that only the best snapshot names correctly.
        difference: accuracy minus that of the best, with the ends of its 95 % interval below.
    """

    class_counts: tuple[int, ...]
    correct_counts: tuple[int, ...]
    confusions: tuple[Confusion, ...]
    loss: float
    better_count: int
    worse_count: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None

    @property
    def accuracy(self) -> float | None:
        """Share named correctly."""
        return sum(self.correct_counts) / sum(self.class_counts) if sum(self.class_counts) else None


@dataclass(frozen=True)
class Gate:
    """A comparison with the best snapshot; verdict is "promoted", "kept", "failed" or "unjudged"."""

    verdict: str
    message: str
    round_number: int
    best: str
    held_out: Comparison | None
    golden: Comparison | None
    judge_time: datetime | None


@dataclass(frozen=True)
class Rollback:
    """A return to earlier parameters.

    Attributes:
        round_number: the first round that begins from them.
        source: "snapshots/r00000421", "checkpoint" or "initial".
        reason: GATE_FAILED, UPDATES_NOT_FINITE, LOSS_DIVERGED or REQUESTED.
    """

    round_number: int
    source: str
    reason: str
    message: str
    rollback_time: datetime | None


@dataclass(frozen=True)
class Guard:
    """What keeps the model from getting worse unnoticed."""

    best: str
    last_gate: Gate | None
    look_count: int
    automatic_rollback_count: int
    last_rollback: Rollback | None
    rate_factor: float
