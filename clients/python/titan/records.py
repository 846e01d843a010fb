"""What the daemon tells, as plain frozen data.

Times are datetimes in UTC, durations seconds, enum values lower-case names. None means unknown or absent, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
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


# ---- pushing -------------------------------------------------------------------------------------------------


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


# ---- training ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """One process of the daemon; pid 0 when it is not running."""

    name: str
    pid: int
    restart_count: int
    last_exit: str
    device: str


@dataclass(frozen=True)
class Durability:
    """What is on the medium, and so survives a power cut.

    Attributes:
        keeps_samples: whether an acknowledged sample does: `ingest.durable`, and the disk takes it.
        checkpoint_time: when the newest checkpoint was written; None before the first.
        daily_budget_bytes: that checkpoints may write a day.
        log_size_bytes: of the log of samples; 0 without one.
        log_flush_count: since the start.
        log_replayed_count: samples that came back out of the log at the start.
    """

    keeps_samples: bool
    checkpoint_time: datetime | None
    checkpoint_round: int
    checkpoint_size_bytes: int
    daily_budget_bytes: int
    log_size_bytes: int
    log_flush_count: int
    log_replayed_count: int


@dataclass(frozen=True)
class Daemon:
    """The daemon as a process."""

    version: str
    pid: int
    start_time: datetime | None
    processes: tuple[Process, ...]
    state_directory: str
    written_today_bytes: int
    durability: Durability | None = None


@dataclass(frozen=True)
class Model:
    """What is being trained; a label is an index into `labels`."""

    architecture: str
    input_spec: TensorSpec | None
    labels: tuple[str, ...]
    parameter_count: int
    size_bytes: int


@dataclass(frozen=True)
class Round:
    """One selected batch, trained on.

    Attributes:
        variance_ratio: closed-form variance of uniform sampling over that of this choice; above 1 is a gain.
        staleness: rounds between the parameters that scored the batch and the parameters it updated.
        class_draw_counts: samples drawn from each class, indexed by class id.
    """

    number: int
    batch_size: int
    loss: float
    learning_rate: float
    staleness: int
    window_size: int
    candidate_count: int
    variance_ratio: float | None
    select_seconds: float | None
    train_seconds: float | None
    wait_seconds: float | None
    complete_time: datetime | None
    class_draw_counts: tuple[int, ...]
    replayed_count: int = 0


@dataclass(frozen=True)
class SampleLedger:
    """Where every sample has gone: the first is the sum of the others, at any time.

    Attributes:
        orphan_label_count: labels that found no sample; the only one that is in no sum.
    """

    pushed_count: int
    shed_count: int
    rejected_count: int
    held_out_count: int
    filtered_count: int
    evicted_count: int
    pending_label_count: int
    buffered_count: int
    selected_count: int
    lost_count: int
    expired_count: int
    orphan_label_count: int

    @property
    def is_balanced(self) -> bool:
        """Whether every sample is accounted for."""
        pushed, *fates, _ = astuple(self)
        return bool(pushed == sum(fates))


@dataclass(frozen=True)
class Selection:
    """How batches are chosen, and whether it pays."""

    policy: str
    candidate_budget: int
    batch_size: int
    variance_ratio_mean: float | None
    variance_ratio_margin: float | None
    variance_ratio_rounds: int
    staleness_round_counts: tuple[int, ...]
    device: str
    control_gain: float | None
    control_gain_margin: float | None
    control_gain_rounds: int
    mode: str
    mode_reason: str
    mode_message: str
    filter: str
    weight_exponent: float | None
    contradicted_share: float | None


@dataclass(frozen=True)
class Evaluation:
    """How good the model is, on samples it was never trained on."""

    accuracy: float | None
    accuracy_margin: float | None
    sample_count: int
    version: int
    prequential_accuracy: float | None
    loss: float | None
    class_accuracies: tuple[float, ...]
    confusions: tuple[Confusion, ...] = ()


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


@dataclass(frozen=True)
class HealthItem:
    """Something that needs attention; severity is "warning" or "error"."""

    code: str
    severity: str
    message: str
    since_time: datetime | None


@dataclass(frozen=True)
class StageLatency:
    """How long one stage takes, since the start."""

    stage: str
    count: int
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    max_seconds: float | None


@dataclass(frozen=True)
class PushStream:
    """An open push stream, as the daemon sees it."""

    stream_id: str
    producer: str
    acknowledged_sequence: int
    accepted_count: int
    rejected_count: int
    shed_count: int
    open_time: datetime | None


@dataclass(frozen=True)
class Training:
    """The training of this daemon, and everything that `titanctl status` shows.

    Attributes:
        state: "starting", "active", "waiting", "paused", "failed", "stopping".
        state_reason: exactly one reason for it, UPPER_SNAKE_CASE.
    """

    name: str
    state: str
    state_reason: str
    state_message: str
    state_time: datetime | None
    daemon: Daemon | None
    model: Model | None
    round_count: int
    last_round: Round | None
    sample_ledger: SampleLedger | None
    selection: Selection | None
    evaluation: Evaluation | None
    health: tuple[HealthItem, ...]
    stages: tuple[StageLatency, ...]
    streams: tuple[PushStream, ...]
    last_snapshot: str
    read_time: datetime | None
    guard: Guard | None = None


# ---- snapshots -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelFile:
    """A file of a snapshot: format "safetensors" or "pt2", its SHA-256 as hex."""

    format: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """Trained parameters with their origin."""

    name: str
    note: str
    round_number: int
    create_time: datetime | None
    files: tuple[ModelFile, ...]
    architecture: str
    input_spec: TensorSpec | None
    labels: tuple[str, ...]
    metrics: Mapping[str, float]
    parent: str
    titand_version: str
    manifest_json: str
    gate: Gate | None = None

    def has_file(self, format: str) -> bool:
        """Whether the file of a format is ready."""
        return any(file.format == format for file in self.files)


@dataclass(frozen=True)
class Export:
    """A model file that was downloaded and verified."""

    path: str
    snapshot: Snapshot
    file: ModelFile


# ---- telemetry -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """One value, where it comes from, and how old it was when the reading was put together."""

    value: float
    source: str
    age_seconds: float
    kind: str


@dataclass(frozen=True)
class Board:
    """What the daemon runs on; kind is "jetson" or "generic"."""

    model: str
    kind: str
    l4t: str


@dataclass(frozen=True)
class ProcessUsage:
    """What one process of the daemon takes; shared pages are divided among their sharers."""

    name: str
    pid: int
    pss_bytes: int
    pss_anon_bytes: int
    pss_shared_bytes: int
    cpu_ratio: float
    thread_count: int
    descriptor_count: int


@dataclass(frozen=True)
class Source:
    """Where values come from, and why it does not deliver, if so."""

    name: str
    up: bool
    age_seconds: float
    detail: str
    version: str


@dataclass(frozen=True)
class Telemetry:
    """One reading of the board and the daemon's share of it. What cannot be measured is absent."""

    read_time: datetime | None
    board: Board | None
    values: Mapping[str, Measurement]
    rail_power_watts: Mapping[str, Measurement]
    temperatures_celsius: Mapping[str, Measurement]
    fan_speed_ratios: Mapping[str, Measurement]
    processes: tuple[ProcessUsage, ...]
    sources: tuple[Source, ...]
