from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Guard(_message.Message):
    __slots__ = ("best", "last_gate", "look_count", "automatic_rollback_count", "last_rollback", "rate_factor")
    BEST_FIELD_NUMBER: _ClassVar[int]
    LAST_GATE_FIELD_NUMBER: _ClassVar[int]
    LOOK_COUNT_FIELD_NUMBER: _ClassVar[int]
    AUTOMATIC_ROLLBACK_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    RATE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    best: str
    last_gate: Gate
    look_count: int
    automatic_rollback_count: int
    last_rollback: Rollback
    rate_factor: float
    def __init__(self, best: _Optional[str] = ..., last_gate: _Optional[_Union[Gate, _Mapping]] = ..., look_count: _Optional[int] = ..., automatic_rollback_count: _Optional[int] = ..., last_rollback: _Optional[_Union[Rollback, _Mapping]] = ..., rate_factor: _Optional[float] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("verdict", "message", "round_number", "best", "held_out", "golden", "judge_time")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[Gate.Verdict]
        VERDICT_PROMOTED: _ClassVar[Gate.Verdict]
        VERDICT_KEPT: _ClassVar[Gate.Verdict]
        VERDICT_FAILED: _ClassVar[Gate.Verdict]
        VERDICT_UNJUDGED: _ClassVar[Gate.Verdict]
    VERDICT_UNSPECIFIED: Gate.Verdict
    VERDICT_PROMOTED: Gate.Verdict
    VERDICT_KEPT: Gate.Verdict
    VERDICT_FAILED: Gate.Verdict
    VERDICT_UNJUDGED: Gate.Verdict
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_FIELD_NUMBER: _ClassVar[int]
    JUDGE_TIME_FIELD_NUMBER: _ClassVar[int]
    verdict: Gate.Verdict
    message: str
    round_number: int
    best: str
    held_out: Comparison
    golden: Comparison
    judge_time: _timestamp_pb2.Timestamp
    def __init__(self, verdict: _Optional[_Union[Gate.Verdict, str]] = ..., message: _Optional[str] = ..., round_number: _Optional[int] = ..., best: _Optional[str] = ..., held_out: _Optional[_Union[Comparison, _Mapping]] = ..., golden: _Optional[_Union[Comparison, _Mapping]] = ..., judge_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("class_counts", "correct_counts", "confusions", "loss", "better_count", "worse_count", "difference", "difference_low", "difference_high")
    CLASS_COUNTS_FIELD_NUMBER: _ClassVar[int]
    CORRECT_COUNTS_FIELD_NUMBER: _ClassVar[int]
    CONFUSIONS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    BETTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORSE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_LOW_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_HIGH_FIELD_NUMBER: _ClassVar[int]
    class_counts: _containers.RepeatedScalarFieldContainer[int]
    correct_counts: _containers.RepeatedScalarFieldContainer[int]
    confusions: _containers.RepeatedCompositeFieldContainer[Confusion]
    loss: float
    better_count: int
    worse_count: int
    difference: float
    difference_low: float
    difference_high: float
    def __init__(self, class_counts: _Optional[_Iterable[int]] = ..., correct_counts: _Optional[_Iterable[int]] = ..., confusions: _Optional[_Iterable[_Union[Confusion, _Mapping]]] = ..., loss: _Optional[float] = ..., better_count: _Optional[int] = ..., worse_count: _Optional[int] = ..., difference: _Optional[float] = ..., difference_low: _Optional[float] = ..., difference_high: _Optional[float] = ...) -> None: ...

class Confusion(_message.Message):
    __slots__ = ("label", "predicted", "count")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    label: int
    predicted: int
    count: int
    def __init__(self, label: _Optional[int] = ..., predicted: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Rollback(_message.Message):
    __slots__ = ("round_number", "source", "reason", "message", "rollback_time")
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_TIME_FIELD_NUMBER: _ClassVar[int]
    round_number: int
    source: str
    reason: str
    message: str
    rollback_time: _timestamp_pb2.Timestamp
    def __init__(self, round_number: _Optional[int] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., rollback_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
