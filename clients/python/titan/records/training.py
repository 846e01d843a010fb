"""The training, and everything that `titanctl status` shows."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime

from titan.records.guard import Confusion, Guard
from titan.records.samples import TensorSpec


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
        log_flush_count: since the front was started.
        log_replayed_count: samples that came back out of the log when the daemon was started.
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
