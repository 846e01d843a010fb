from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from titan.v1 import guard_pb2 as _guard_pb2
from titan.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Training(_message.Message):
    __slots__ = ("name", "state", "state_reason", "state_message", "state_time", "daemon", "model", "round_count", "last_round", "sample_ledger", "selection", "evaluation", "health", "stages", "streams", "last_snapshot", "read_time", "guard")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Training.State]
        STATE_STARTING: _ClassVar[Training.State]
        STATE_ACTIVE: _ClassVar[Training.State]
        STATE_WAITING: _ClassVar[Training.State]
        STATE_PAUSED: _ClassVar[Training.State]
        STATE_FAILED: _ClassVar[Training.State]
        STATE_STOPPING: _ClassVar[Training.State]
    STATE_UNSPECIFIED: Training.State
    STATE_STARTING: Training.State
    STATE_ACTIVE: Training.State
    STATE_WAITING: Training.State
    STATE_PAUSED: Training.State
    STATE_FAILED: Training.State
    STATE_STOPPING: Training.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DAEMON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROUND_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_ROUND_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_LEDGER_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    LAST_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Training.State
    state_reason: str
    state_message: str
    state_time: _timestamp_pb2.Timestamp
    daemon: Daemon
    model: Model
    round_count: int
    last_round: Round
    sample_ledger: SampleLedger
    selection: Selection
    evaluation: Evaluation
    health: _containers.RepeatedCompositeFieldContainer[HealthItem]
    stages: _containers.RepeatedCompositeFieldContainer[StageLatency]
    streams: _containers.RepeatedCompositeFieldContainer[PushStream]
    last_snapshot: str
    read_time: _timestamp_pb2.Timestamp
    guard: _guard_pb2.Guard
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Training.State, str]] = ..., state_reason: _Optional[str] = ..., state_message: _Optional[str] = ..., state_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., daemon: _Optional[_Union[Daemon, _Mapping]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., round_count: _Optional[int] = ..., last_round: _Optional[_Union[Round, _Mapping]] = ..., sample_ledger: _Optional[_Union[SampleLedger, _Mapping]] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., health: _Optional[_Iterable[_Union[HealthItem, _Mapping]]] = ..., stages: _Optional[_Iterable[_Union[StageLatency, _Mapping]]] = ..., streams: _Optional[_Iterable[_Union[PushStream, _Mapping]]] = ..., last_snapshot: _Optional[str] = ..., read_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., guard: _Optional[_Union[_guard_pb2.Guard, _Mapping]] = ...) -> None: ...

class Daemon(_message.Message):
    __slots__ = ("version", "pid", "start_time", "processes", "state_directory", "written_today_bytes", "durability")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    STATE_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_TODAY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    version: str
    pid: int
    start_time: _timestamp_pb2.Timestamp
    processes: _containers.RepeatedCompositeFieldContainer[Process]
    state_directory: str
    written_today_bytes: int
    durability: Durability
    def __init__(self, version: _Optional[str] = ..., pid: _Optional[int] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., processes: _Optional[_Iterable[_Union[Process, _Mapping]]] = ..., state_directory: _Optional[str] = ..., written_today_bytes: _Optional[int] = ..., durability: _Optional[_Union[Durability, _Mapping]] = ...) -> None: ...

class Durability(_message.Message):
    __slots__ = ("keeps_samples", "checkpoint_time", "checkpoint_round", "checkpoint_size_bytes", "daily_budget_bytes", "log_size_bytes", "log_flush_count", "log_replayed_count")
    KEEPS_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_TIME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_ROUND_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAILY_BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_FLUSH_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOG_REPLAYED_COUNT_FIELD_NUMBER: _ClassVar[int]
    keeps_samples: bool
    checkpoint_time: _timestamp_pb2.Timestamp
    checkpoint_round: int
    checkpoint_size_bytes: int
    daily_budget_bytes: int
    log_size_bytes: int
    log_flush_count: int
    log_replayed_count: int
    def __init__(self, keeps_samples: bool = ..., checkpoint_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., checkpoint_round: _Optional[int] = ..., checkpoint_size_bytes: _Optional[int] = ..., daily_budget_bytes: _Optional[int] = ..., log_size_bytes: _Optional[int] = ..., log_flush_count: _Optional[int] = ..., log_replayed_count: _Optional[int] = ...) -> None: ...

class Process(_message.Message):
    __slots__ = ("name", "pid", "restart_count", "last_exit", "device")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTART_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_EXIT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    pid: int
    restart_count: int
    last_exit: str
    device: str
    def __init__(self, name: _Optional[str] = ..., pid: _Optional[int] = ..., restart_count: _Optional[int] = ..., last_exit: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("architecture", "input_spec", "labels", "parameter_count", "size_bytes")
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    INPUT_SPEC_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    architecture: str
    input_spec: _tensor_pb2.TensorSpec
    labels: _containers.RepeatedScalarFieldContainer[str]
    parameter_count: int
    size_bytes: int
    def __init__(self, architecture: _Optional[str] = ..., input_spec: _Optional[_Union[_tensor_pb2.TensorSpec, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., parameter_count: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("number", "batch_size", "loss", "learning_rate", "staleness", "window_size", "candidate_count", "variance_ratio", "select_duration", "train_duration", "wait_duration", "complete_time", "class_draw_counts", "replayed_count")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    STALENESS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SIZE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_RATIO_FIELD_NUMBER: _ClassVar[int]
    SELECT_DURATION_FIELD_NUMBER: _ClassVar[int]
    TRAIN_DURATION_FIELD_NUMBER: _ClassVar[int]
    WAIT_DURATION_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    CLASS_DRAW_COUNTS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_COUNT_FIELD_NUMBER: _ClassVar[int]
    number: int
    batch_size: int
    loss: float
    learning_rate: float
    staleness: int
    window_size: int
    candidate_count: int
    variance_ratio: float
    select_duration: _duration_pb2.Duration
    train_duration: _duration_pb2.Duration
    wait_duration: _duration_pb2.Duration
    complete_time: _timestamp_pb2.Timestamp
    class_draw_counts: _containers.RepeatedScalarFieldContainer[int]
    replayed_count: int
    def __init__(self, number: _Optional[int] = ..., batch_size: _Optional[int] = ..., loss: _Optional[float] = ..., learning_rate: _Optional[float] = ..., staleness: _Optional[int] = ..., window_size: _Optional[int] = ..., candidate_count: _Optional[int] = ..., variance_ratio: _Optional[float] = ..., select_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., train_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., wait_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., complete_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., class_draw_counts: _Optional[_Iterable[int]] = ..., replayed_count: _Optional[int] = ...) -> None: ...

class SampleLedger(_message.Message):
    __slots__ = ("pushed_count", "shed_count", "rejected_count", "held_out_count", "filtered_count", "evicted_count", "pending_label_count", "buffered_count", "selected_count", "lost_count", "expired_count", "orphan_label_count")
    PUSHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVICTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_LABEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SELECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ORPHAN_LABEL_COUNT_FIELD_NUMBER: _ClassVar[int]
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
    def __init__(self, pushed_count: _Optional[int] = ..., shed_count: _Optional[int] = ..., rejected_count: _Optional[int] = ..., held_out_count: _Optional[int] = ..., filtered_count: _Optional[int] = ..., evicted_count: _Optional[int] = ..., pending_label_count: _Optional[int] = ..., buffered_count: _Optional[int] = ..., selected_count: _Optional[int] = ..., lost_count: _Optional[int] = ..., expired_count: _Optional[int] = ..., orphan_label_count: _Optional[int] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("policy", "candidate_budget", "batch_size", "variance_ratio_mean", "variance_ratio_margin", "variance_ratio_rounds", "staleness_round_counts", "device", "control_gain", "control_gain_margin", "control_gain_rounds", "mode", "mode_reason", "mode_message", "filter", "weight_exponent", "contradicted_share")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_BUDGET_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_RATIO_MEAN_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_RATIO_MARGIN_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_RATIO_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    STALENESS_ROUND_COUNTS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_GAIN_FIELD_NUMBER: _ClassVar[int]
    CONTROL_GAIN_MARGIN_FIELD_NUMBER: _ClassVar[int]
    CONTROL_GAIN_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_REASON_FIELD_NUMBER: _ClassVar[int]
    MODE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_EXPONENT_FIELD_NUMBER: _ClassVar[int]
    CONTRADICTED_SHARE_FIELD_NUMBER: _ClassVar[int]
    policy: str
    candidate_budget: int
    batch_size: int
    variance_ratio_mean: float
    variance_ratio_margin: float
    variance_ratio_rounds: int
    staleness_round_counts: _containers.RepeatedScalarFieldContainer[int]
    device: str
    control_gain: float
    control_gain_margin: float
    control_gain_rounds: int
    mode: str
    mode_reason: str
    mode_message: str
    filter: str
    weight_exponent: float
    contradicted_share: float
    def __init__(self, policy: _Optional[str] = ..., candidate_budget: _Optional[int] = ..., batch_size: _Optional[int] = ..., variance_ratio_mean: _Optional[float] = ..., variance_ratio_margin: _Optional[float] = ..., variance_ratio_rounds: _Optional[int] = ..., staleness_round_counts: _Optional[_Iterable[int]] = ..., device: _Optional[str] = ..., control_gain: _Optional[float] = ..., control_gain_margin: _Optional[float] = ..., control_gain_rounds: _Optional[int] = ..., mode: _Optional[str] = ..., mode_reason: _Optional[str] = ..., mode_message: _Optional[str] = ..., filter: _Optional[str] = ..., weight_exponent: _Optional[float] = ..., contradicted_share: _Optional[float] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("accuracy", "accuracy_margin", "sample_count", "version", "prequential_accuracy", "loss", "class_accuracies", "confusions")
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_MARGIN_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREQUENTIAL_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    CLASS_ACCURACIES_FIELD_NUMBER: _ClassVar[int]
    CONFUSIONS_FIELD_NUMBER: _ClassVar[int]
    accuracy: float
    accuracy_margin: float
    sample_count: int
    version: int
    prequential_accuracy: float
    loss: float
    class_accuracies: _containers.RepeatedScalarFieldContainer[float]
    confusions: _containers.RepeatedCompositeFieldContainer[_guard_pb2.Confusion]
    def __init__(self, accuracy: _Optional[float] = ..., accuracy_margin: _Optional[float] = ..., sample_count: _Optional[int] = ..., version: _Optional[int] = ..., prequential_accuracy: _Optional[float] = ..., loss: _Optional[float] = ..., class_accuracies: _Optional[_Iterable[float]] = ..., confusions: _Optional[_Iterable[_Union[_guard_pb2.Confusion, _Mapping]]] = ...) -> None: ...

class HealthItem(_message.Message):
    __slots__ = ("code", "severity", "message", "since_time")
    class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SEVERITY_UNSPECIFIED: _ClassVar[HealthItem.Severity]
        SEVERITY_WARNING: _ClassVar[HealthItem.Severity]
        SEVERITY_ERROR: _ClassVar[HealthItem.Severity]
    SEVERITY_UNSPECIFIED: HealthItem.Severity
    SEVERITY_WARNING: HealthItem.Severity
    SEVERITY_ERROR: HealthItem.Severity
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    code: str
    severity: HealthItem.Severity
    message: str
    since_time: _timestamp_pb2.Timestamp
    def __init__(self, code: _Optional[str] = ..., severity: _Optional[_Union[HealthItem.Severity, str]] = ..., message: _Optional[str] = ..., since_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StageLatency(_message.Message):
    __slots__ = ("stage", "count", "p50", "p95", "p99", "max")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P95_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    stage: str
    count: int
    p50: _duration_pb2.Duration
    p95: _duration_pb2.Duration
    p99: _duration_pb2.Duration
    max: _duration_pb2.Duration
    def __init__(self, stage: _Optional[str] = ..., count: _Optional[int] = ..., p50: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., p95: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., p99: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PushStream(_message.Message):
    __slots__ = ("stream_id", "producer", "acknowledged_sequence", "accepted_count", "rejected_count", "shed_count", "open_time")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    producer: str
    acknowledged_sequence: int
    accepted_count: int
    rejected_count: int
    shed_count: int
    open_time: _timestamp_pb2.Timestamp
    def __init__(self, stream_id: _Optional[str] = ..., producer: _Optional[str] = ..., acknowledged_sequence: _Optional[int] = ..., accepted_count: _Optional[int] = ..., rejected_count: _Optional[int] = ..., shed_count: _Optional[int] = ..., open_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetTrainingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchTrainingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchTrainingResponse(_message.Message):
    __slots__ = ("training",)
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    training: Training
    def __init__(self, training: _Optional[_Union[Training, _Mapping]] = ...) -> None: ...

class PauseTrainingRequest(_message.Message):
    __slots__ = ("note",)
    NOTE_FIELD_NUMBER: _ClassVar[int]
    note: str
    def __init__(self, note: _Optional[str] = ...) -> None: ...

class PauseTrainingResponse(_message.Message):
    __slots__ = ("training",)
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    training: Training
    def __init__(self, training: _Optional[_Union[Training, _Mapping]] = ...) -> None: ...

class ResumeTrainingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResumeTrainingResponse(_message.Message):
    __slots__ = ("training",)
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    training: Training
    def __init__(self, training: _Optional[_Union[Training, _Mapping]] = ...) -> None: ...

class RollbackTrainingRequest(_message.Message):
    __slots__ = ("snapshot", "note")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    snapshot: str
    note: str
    def __init__(self, snapshot: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class RollbackTrainingResponse(_message.Message):
    __slots__ = ("rollback",)
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    rollback: _guard_pb2.Rollback
    def __init__(self, rollback: _Optional[_Union[_guard_pb2.Rollback, _Mapping]] = ...) -> None: ...
