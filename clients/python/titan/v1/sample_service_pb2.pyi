from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from titan.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PushSamplesRequest(_message.Message):
    __slots__ = ("open", "batch")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    open: StreamOpen
    batch: SampleBatch
    def __init__(self, open: _Optional[_Union[StreamOpen, _Mapping]] = ..., batch: _Optional[_Union[SampleBatch, _Mapping]] = ...) -> None: ...

class StreamOpen(_message.Message):
    __slots__ = ("stream_id", "producer")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    producer: str
    def __init__(self, stream_id: _Optional[str] = ..., producer: _Optional[str] = ...) -> None: ...

class SampleBatch(_message.Message):
    __slots__ = ("first_sequence", "spec", "labels", "observe_times_ns", "data")
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_TIMES_NS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    first_sequence: int
    spec: _tensor_pb2.TensorSpec
    labels: _containers.RepeatedScalarFieldContainer[int]
    observe_times_ns: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, first_sequence: _Optional[int] = ..., spec: _Optional[_Union[_tensor_pb2.TensorSpec, _Mapping]] = ..., labels: _Optional[_Iterable[int]] = ..., observe_times_ns: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class PushSamplesResponse(_message.Message):
    __slots__ = ("opened", "acknowledgement")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    opened: StreamOpened
    acknowledgement: Acknowledgement
    def __init__(self, opened: _Optional[_Union[StreamOpened, _Mapping]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, _Mapping]] = ...) -> None: ...

class StreamOpened(_message.Message):
    __slots__ = ("acknowledged_sequence", "input_spec", "labels", "max_message_bytes", "credit")
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INPUT_SPEC_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    acknowledged_sequence: int
    input_spec: _tensor_pb2.TensorSpec
    labels: _containers.RepeatedScalarFieldContainer[str]
    max_message_bytes: int
    credit: int
    def __init__(self, acknowledged_sequence: _Optional[int] = ..., input_spec: _Optional[_Union[_tensor_pb2.TensorSpec, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., max_message_bytes: _Optional[int] = ..., credit: _Optional[int] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("acknowledged_sequence", "accepted", "refusals", "credit", "backoff_duration")
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_DURATION_FIELD_NUMBER: _ClassVar[int]
    acknowledged_sequence: int
    accepted: _containers.RepeatedCompositeFieldContainer[AcceptedRun]
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    credit: int
    backoff_duration: _duration_pb2.Duration
    def __init__(self, acknowledged_sequence: _Optional[int] = ..., accepted: _Optional[_Iterable[_Union[AcceptedRun, _Mapping]]] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., credit: _Optional[int] = ..., backoff_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AcceptedRun(_message.Message):
    __slots__ = ("first_sequence", "first_number", "count")
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FIRST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    first_sequence: int
    first_number: int
    count: int
    def __init__(self, first_sequence: _Optional[int] = ..., first_number: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("first_sequence", "count", "kind", "reason", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Refusal.Kind]
        KIND_REJECTED: _ClassVar[Refusal.Kind]
        KIND_SHED: _ClassVar[Refusal.Kind]
    KIND_UNSPECIFIED: Refusal.Kind
    KIND_REJECTED: Refusal.Kind
    KIND_SHED: Refusal.Kind
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    first_sequence: int
    count: int
    kind: Refusal.Kind
    reason: str
    message: str
    def __init__(self, first_sequence: _Optional[int] = ..., count: _Optional[int] = ..., kind: _Optional[_Union[Refusal.Kind, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("name", "fate", "explanation", "label", "accept_time")
    class Fate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FATE_UNSPECIFIED: _ClassVar[Sample.Fate]
        FATE_WAITING: _ClassVar[Sample.Fate]
        FATE_CANDIDATE: _ClassVar[Sample.Fate]
        FATE_SELECTED: _ClassVar[Sample.Fate]
        FATE_HELD_OUT: _ClassVar[Sample.Fate]
        FATE_FILTERED: _ClassVar[Sample.Fate]
        FATE_EVICTED: _ClassVar[Sample.Fate]
        FATE_TRAINED: _ClassVar[Sample.Fate]
        FATE_RELEASED: _ClassVar[Sample.Fate]
        FATE_INVALID: _ClassVar[Sample.Fate]
        FATE_PENDING_LABEL: _ClassVar[Sample.Fate]
        FATE_EXPIRED: _ClassVar[Sample.Fate]
    FATE_UNSPECIFIED: Sample.Fate
    FATE_WAITING: Sample.Fate
    FATE_CANDIDATE: Sample.Fate
    FATE_SELECTED: Sample.Fate
    FATE_HELD_OUT: Sample.Fate
    FATE_FILTERED: Sample.Fate
    FATE_EVICTED: Sample.Fate
    FATE_TRAINED: Sample.Fate
    FATE_RELEASED: Sample.Fate
    FATE_INVALID: Sample.Fate
    FATE_PENDING_LABEL: Sample.Fate
    FATE_EXPIRED: Sample.Fate
    NAME_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    fate: Sample.Fate
    explanation: str
    label: int
    accept_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., fate: _Optional[_Union[Sample.Fate, str]] = ..., explanation: _Optional[str] = ..., label: _Optional[int] = ..., accept_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSampleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class LabelSamplesRequest(_message.Message):
    __slots__ = ("numbers", "labels")
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    labels: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, numbers: _Optional[_Iterable[int]] = ..., labels: _Optional[_Iterable[int]] = ...) -> None: ...

class LabelSamplesResponse(_message.Message):
    __slots__ = ("outcomes",)
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_JOINED: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_CORRECTED: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_UNCHANGED: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_TOO_LATE: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_UNKNOWN: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_REJECTED: _ClassVar[LabelSamplesResponse.Outcome]
        OUTCOME_UNANSWERED: _ClassVar[LabelSamplesResponse.Outcome]
    OUTCOME_UNSPECIFIED: LabelSamplesResponse.Outcome
    OUTCOME_JOINED: LabelSamplesResponse.Outcome
    OUTCOME_CORRECTED: LabelSamplesResponse.Outcome
    OUTCOME_UNCHANGED: LabelSamplesResponse.Outcome
    OUTCOME_TOO_LATE: LabelSamplesResponse.Outcome
    OUTCOME_UNKNOWN: LabelSamplesResponse.Outcome
    OUTCOME_REJECTED: LabelSamplesResponse.Outcome
    OUTCOME_UNANSWERED: LabelSamplesResponse.Outcome
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedScalarFieldContainer[LabelSamplesResponse.Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[LabelSamplesResponse.Outcome, str]]] = ...) -> None: ...

class ListSuspectSamplesRequest(_message.Message):
    __slots__ = ("page_size",)
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    def __init__(self, page_size: _Optional[int] = ...) -> None: ...

class ListSuspectSamplesResponse(_message.Message):
    __slots__ = ("suspects",)
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    suspects: _containers.RepeatedCompositeFieldContainer[SuspectSample]
    def __init__(self, suspects: _Optional[_Iterable[_Union[SuspectSample, _Mapping]]] = ...) -> None: ...

class SuspectSample(_message.Message):
    __slots__ = ("name", "label", "score", "suggested_label", "reasons", "explanation", "duplicate_of")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[SuspectSample.Reason]
        REASON_LABEL_DISAGREES: _ClassVar[SuspectSample.Reason]
        REASON_HIGH_LOSS: _ClassVar[SuspectSample.Reason]
        REASON_FAR_FROM_CLASS: _ClassVar[SuspectSample.Reason]
        REASON_NEAR_DUPLICATE: _ClassVar[SuspectSample.Reason]
    REASON_UNSPECIFIED: SuspectSample.Reason
    REASON_LABEL_DISAGREES: SuspectSample.Reason
    REASON_HIGH_LOSS: SuspectSample.Reason
    REASON_FAR_FROM_CLASS: SuspectSample.Reason
    REASON_NEAR_DUPLICATE: SuspectSample.Reason
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_LABEL_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_OF_FIELD_NUMBER: _ClassVar[int]
    name: str
    label: int
    score: float
    suggested_label: int
    reasons: _containers.RepeatedScalarFieldContainer[SuspectSample.Reason]
    explanation: str
    duplicate_of: str
    def __init__(self, name: _Optional[str] = ..., label: _Optional[int] = ..., score: _Optional[float] = ..., suggested_label: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[SuspectSample.Reason, str]]] = ..., explanation: _Optional[str] = ..., duplicate_of: _Optional[str] = ...) -> None: ...
