"""Samples: what they look like, what became of them, and which look wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

ITEM_BYTES: Mapping[str, int] = {"uint8": 1, "int16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of one sample: row-major, little-endian, no padding.

    >>> TensorSpec("uint8", (3, 32, 32)).size_bytes
    3072
    >>> str(TensorSpec("uint8", (3, 32, 32)))
    'uint8 3x32x32'
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

    def __str__(self) -> str:
        return f"{self.data_type} {'x'.join(map(str, self.shape)) or 'scalar'}"


@dataclass(frozen=True)
class AcceptedRun:
    """Neighbouring samples that were accepted: their sequences, and the numbers that they were given."""

    first_sequence: int
    first_number: int
    count: int


@dataclass(frozen=True)
class Refusal:
    """Neighbouring samples that were not accepted, for the same reason.

    Attributes:
        first_sequence: what `push` returned for the first of them.
        count: how many.
        kind: "rejected" (the sample is wrong) or "shed" (the daemon is behind).
        reason: UPPER_SNAKE_CASE, stable.
        message: one sentence, and what to do about it.
    """

    first_sequence: int
    count: int
    kind: str
    reason: str
    message: str


@dataclass(frozen=True)
class PushTotals:
    """What became of everything that a client pushed: the first is the sum of the next five.

    Attributes:
        pushed: taken by `push`.
        accepted: in the daemon's hands.
        rejected: malformed; pushing them again is useless.
        shed: dropped by the daemon, which was behind.
        unreported: settled by the daemon just before a connection broke, so that the verdict was never heard.
        unacknowledged: still on their way.
        resent: how many were sent a second time after a connection broke.
    """

    pushed: int = 0
    accepted: int = 0
    rejected: int = 0
    shed: int = 0
    unreported: int = 0
    unacknowledged: int = 0
    resent: int = 0


@dataclass(frozen=True)
class Sample:
    """What is known of one accepted sample.

    Attributes:
        fate: "pending_label", "waiting", "candidate", "selected", "held_out", "filtered", "evicted", "trained",
            "released", "invalid", "expired".
    """

    name: str
    fate: str
    explanation: str
    label: int | None
    accept_time: datetime | None


@dataclass(frozen=True)
class SuspectSample:
    """A sample whose label looks wrong, or that another one repeats.

    Attributes:
        score: how suspicious, in nats.
        suggested_label: the class id that it should perhaps have; None where there is no better one.
        reasons: "label_disagrees", "high_loss", "far_from_class", "near_duplicate".
        explanation: the same for people, one line.
        duplicate_of: the sample that it repeats; "" for other reasons.
    """

    name: str
    label: int
    score: float
    suggested_label: int | None
    reasons: tuple[str, ...]
    explanation: str
    duplicate_of: str
