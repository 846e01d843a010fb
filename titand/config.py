"""What can be configured: plain frozen data, each key with its default, its range and a line of help."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from titand.records import ITEM_BYTES, ModelSpec, TensorSpec

Check = tuple[Callable[[Any], bool], str]

POLICIES = ("cis", "uniform", "stratified", "is", "ll", "hl", "ce", "gn-top", "ocs", "camel")


def _key(default: Any, help: str, check: Check | None = None, reloads: bool = False) -> Any:
    metadata = {"help": help, "check": check, "reloads": reloads}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


POSITIVE: Check = (lambda value: 0 < value < math.inf, "above 0")
NOT_NEGATIVE: Check = (lambda value: 0 <= value < math.inf, "0 or more")


def between(least: float, most: float) -> Check:
    """Return the check that a value lies in a range, both ends in it."""
    return (lambda value: least <= value <= most, f"between {least} and {most}")


RATIO = between(0, 1)
DECAY: Check = (lambda value: 0 <= value < 1, "0 or more, below 1")
SHARE: Check = (lambda value: 0 < value <= 1, "above 0, at most 1")


def one_of(*names: str) -> Check:
    """Return the check that a value is one of some names."""
    return (lambda value: value in names, "one of " + ", ".join(repr(name) for name in names))


@dataclass(frozen=True)
class InputConfig:
    """What one sample looks like."""

    data_type: str = _key("uint8", "type of one element as it is pushed", one_of(*ITEM_BYTES))
    shape: tuple[int, ...] = _key(
        (), "extents of one sample, outermost first", (lambda shape: all(n > 0 for n in shape), "all above 0")
    )
    scale: float = _key(1.0, "raw values are multiplied by it first; 1/255 = 0.003921569 for images")
    mean: tuple[float, ...] = _key((), "subtracted then: one per leading channel, one for all, or none")
    std: tuple[float, ...] = _key(
        (), "divided by then, likewise", (lambda std: all(0 < value < math.inf for value in std), "all above 0")
    )


@dataclass(frozen=True)
class ModelConfig:
    """The model that is trained."""

    architecture: str = _key("", "mlp, digits_cnn, alexnet, mobilenet_v1, squeezenet, resnet34 or resnet50")
    labels: tuple[str, ...] = _key((), "class names; a label is an index into them")
    input: InputConfig = field(default_factory=InputConfig)
    options: dict[str, Any] = _key({}, "arguments of the architecture, for example width = 0.25")  # noqa: RUF009
    seed: int = _key(0, "of the initial parameters and of every draw", NOT_NEGATIVE)
    initial: str = _key("", "a safetensors file to start from, instead of random parameters")


@dataclass(frozen=True)
class TrainingConfig:
    """How it is trained."""

    batch_size: int = _key(10, "samples of a round", POSITIVE)
    optimizer: str = _key(
        "sgd", "sgd (no torch.optim), or adam, adamw, rmsprop (70 MB more)", one_of("sgd", "adam", "adamw", "rmsprop")
    )
    learning_rate: float = _key(0.1, "of the first round", POSITIVE)
    momentum: float = _key(0.0, "of sgd", RATIO)
    weight_decay: float = _key(0.0, "L2 penalty", NOT_NEGATIVE)
    schedule: str = _key("step", "how the rate falls", one_of("step", "constant", "cosine"))
    decay: float = _key(0.95, "factor of the step schedule", POSITIVE)
    decay_rounds: int = _key(100, "rounds per step of the schedule; its whole length for cosine", POSITIVE)
    average: float = _key(
        0.995, "decay per round of the average of the parameters that is evaluated and served; 0: the latest are", DECAY
    )
    replay_share: float = _key(
        0.0, "share of a batch, at most, from classes that have not come for a while; 0: none", between(0, 0.9)
    )
    replay_samples: int = _key(200, "most samples kept for that, in the trainer's memory", POSITIVE)
    threads: int = _key(1, "of the trainer", POSITIVE)


@dataclass(frozen=True)
class SelectionConfig:
    """Which samples it is trained on."""

    policy: str = _key(
        "cis",
        "cis: importance by class; uniform: random, the control; stratified: random by class; others, to compare with",
        one_of(*POLICIES),
    )
    candidates: int = _key(30, "most candidates kept of a window", between(1, 10_000), reloads=True)
    filter: str = _key(
        "predicted", "rule of the coarse filter", one_of("stratified", "predicted", "rep-div", "uniform")
    )
    weight_exponent: float = _key(
        0.0, "of the sample weights: 1 unbiased, 0 plain average; the least one under full_contradiction", RATIO
    )
    full_contradiction: float = _key(
        0.1, "share of labels that contradict the model at which sample weights are unbiased; 0: exponent fixed", RATIO
    )
    least_importance: float = _key(
        0.1, "of cis: less than this share of the mean importance counts as this share", SHARE
    )
    statistics_decay: float = _key(0.9, "of the class statistics, per round", RATIO)
    horizon_rounds: int = _key(500, "rounds that prove whether it pays; 0: it never rests", NOT_NEGATIVE)
    rest_rounds: int = _key(5000, "random rounds until selection that did not pay is tried again", POSITIVE)
    device: str = _key("auto", "auto: the accelerator if there is one; cpu; cuda")
    threads: int = _key(1, "of the selector where it runs on the CPU", POSITIVE)
    micro_batch: int = _key(32, "samples that go through the first block together", POSITIVE, reloads=True)


@dataclass(frozen=True)
class RoundConfig:
    """When a round is cut."""

    min_samples: int = _key(0, "arrivals that a window needs; 0 means the batch size", NOT_NEGATIVE, reloads=True)


@dataclass(frozen=True)
class IngestConfig:
    """How samples are taken in."""

    arena_bytes: int = _key(16 << 20, "memory for samples that wait", POSITIVE)
    patience_seconds: float = _key(
        5.0, "how long a full arena stops a stream before it sheds", NOT_NEGATIVE, reloads=True
    )
    label_patience_seconds: float = _key(
        600.0, "how long a sample that came without a label waits for it", NOT_NEGATIVE, reloads=True
    )
    pending_bytes: int = _key(
        0, "memory for samples that wait for labels, at most half of the arena; 0: a quarter", NOT_NEGATIVE
    )
    durable: bool = _key(False, "whether an acknowledged sample survives a power cut: each is written to a log first")
    log_bytes: int = _key(64 << 20, "size of that log, a file", POSITIVE)
    max_message_bytes: int = _key(8 << 20, "largest message that is taken", POSITIVE)
    max_streams: int = _key(16, "push streams at once", between(1, 64))


@dataclass(frozen=True)
class EvaluationConfig:
    """How its quality is measured."""

    held_out_ratio: float = _key(0.05, "share of arrivals that is never trained on", RATIO)
    held_out_samples: int = _key(200, "most held-out samples kept", between(0, 100_000))
    every_rounds: int = _key(50, "rounds between two evaluations", POSITIVE, reloads=True)
    held_out_rounds: int = _key(
        2000, "rounds in which newer samples take the places of those, at the fastest", POSITIVE
    )


@dataclass(frozen=True)
class GuardConfig:
    """What keeps the model from getting worse unnoticed."""

    every_rounds: int = _key(
        200, "rounds between two comparisons with the best snapshot; 0: only for snapshots", NOT_NEGATIVE, reloads=True
    )
    margin: float = _key(0.05, "loss of accuracy against the best that does not matter", RATIO, reloads=True)
    false_alarm_rate: float = _key(
        0.0001, "most share of comparisons that call a model worse which is not", between(1e-12, 0.5), reloads=True
    )
    rollback_limit: int = _key(
        3, "rollbacks in a row that pause the training; 0: never roll back, only tell", NOT_NEGATIVE, reloads=True
    )
    rollback_rate_factor: float = _key(
        0.5, "learning rate after updates went astray, over that before", between(1e-6, 1), reloads=True
    )
    golden_set: str = _key("", "a .npz with x and label that every comparison looks at as well")


@dataclass(frozen=True)
class StorageConfig:
    """What is kept on disk."""

    daily_bytes: int = _key(1_000_000_000, "checkpoints are spaced so as to write no more than this a day", POSITIVE)
    checkpoint_seconds: float = _key(60.0, "least time between two checkpoints", POSITIVE, reloads=True)
    snapshot_rounds: int = _key(0, "rounds between automatic snapshots; 0: only on request", NOT_NEGATIVE, reloads=True)
    keep_snapshots: int = _key(10, "newest snapshots kept", POSITIVE, reloads=True)


@dataclass(frozen=True)
class TelemetryConfig:
    """What is read of the board."""

    interval_seconds: float = _key(1.0, "between two readings", POSITIVE)
    jtop: str = _key("auto", "auto: if its service is there; off", one_of("auto", "off"))


@dataclass(frozen=True)
class ServiceConfig:
    """Where the daemon lives and how it ends."""

    state_directory: str = _key("/var/lib/titand", "checkpoints and snapshots")
    runtime_directory: str = _key("/run/titand", "sockets and the lock")
    stop_seconds: float = _key(20.0, "deadline of an orderly stop", POSITIVE)
    hang_seconds: float = _key(
        30.0,
        "silence after which a worker counts as hung",
        (lambda seconds: seconds >= 2.0, "at least 2: a sign of life may take one second"),
    )
    restart_seconds: float = _key(30.0, "longest delay before what keeps ending is started again", POSITIVE)
    log_level: str = _key(
        "info", "least severe lines that are written", one_of("debug", "info", "warning", "error"), reloads=True
    )


@dataclass(frozen=True)
class Config:
    """Everything that can be set."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    round: RoundConfig = field(default_factory=RoundConfig)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)

    @property
    def model_spec(self) -> ModelSpec:
        """The model's own description."""
        given = self.model.input
        return ModelSpec(
            self.model.architecture,
            TensorSpec(given.data_type, given.shape),
            self.model.labels,
            given.scale,
            given.mean,
            given.std,
            self.model.options,
        )

    @property
    def sample_fingerprint(self) -> str:
        """A text that is equal for two configurations whose samples fit each other."""
        spec = self.model_spec
        return json.dumps([spec.input.data_type, spec.input.shape, spec.labels])

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints are kept."""
        return Path(self.service.state_directory) / "checkpoints"

    @property
    def log_folder(self) -> Path:
        """Where the log of samples is kept."""
        return Path(self.service.state_directory) / "log"

    @property
    def snapshot_folder(self) -> Path:
        """Where snapshots are kept."""
        return Path(self.service.state_directory) / "snapshots"

    @property
    def round_samples(self) -> int:
        """Arrivals that a window needs."""
        return self.round.min_samples or self.training.batch_size


def reloadable_changes(old: Config, new: Config) -> tuple[dict[str, Any], list[str]]:
    """Return what changed and may change while running, and the keys that changed and may not."""
    now: dict[str, Any] = {}
    later: list[str] = []
    for section in dataclasses.fields(Config):
        before, after = getattr(old, section.name), getattr(new, section.name)
        for entry in dataclasses.fields(before):
            if getattr(before, entry.name) != getattr(after, entry.name):
                key = f"{section.name}.{entry.name}"
                if entry.metadata.get("reloads"):
                    now[key] = getattr(after, entry.name)
                else:
                    later.append(key)
    return now, later


def with_changes(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return the configuration with some "section.key" values replaced."""
    for key, value in changes.items():
        section, name = key.split(".")
        part = dataclasses.replace(getattr(config, section), **{name: value})
        config = dataclasses.replace(config, **{section: part})
    return config
