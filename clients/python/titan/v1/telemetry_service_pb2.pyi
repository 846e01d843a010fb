from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Measurement(_message.Message):
    __slots__ = ("value", "source", "age_seconds", "kind")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    value: float
    source: str
    age_seconds: float
    kind: str
    def __init__(self, value: _Optional[float] = ..., source: _Optional[str] = ..., age_seconds: _Optional[float] = ..., kind: _Optional[str] = ...) -> None: ...

class Telemetry(_message.Message):
    __slots__ = ("read_time", "board", "values", "rail_power_watts", "temperatures_celsius", "fan_speed_ratios", "processes", "sources")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Measurement
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Measurement, _Mapping]] = ...) -> None: ...
    class RailPowerWattsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Measurement
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Measurement, _Mapping]] = ...) -> None: ...
    class TemperaturesCelsiusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Measurement
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Measurement, _Mapping]] = ...) -> None: ...
    class FanSpeedRatiosEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Measurement
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Measurement, _Mapping]] = ...) -> None: ...
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    BOARD_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    RAIL_POWER_WATTS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURES_CELSIUS_FIELD_NUMBER: _ClassVar[int]
    FAN_SPEED_RATIOS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    read_time: _timestamp_pb2.Timestamp
    board: Board
    values: _containers.MessageMap[str, Measurement]
    rail_power_watts: _containers.MessageMap[str, Measurement]
    temperatures_celsius: _containers.MessageMap[str, Measurement]
    fan_speed_ratios: _containers.MessageMap[str, Measurement]
    processes: _containers.RepeatedCompositeFieldContainer[ProcessUsage]
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    def __init__(self, read_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., board: _Optional[_Union[Board, _Mapping]] = ..., values: _Optional[_Mapping[str, Measurement]] = ..., rail_power_watts: _Optional[_Mapping[str, Measurement]] = ..., temperatures_celsius: _Optional[_Mapping[str, Measurement]] = ..., fan_speed_ratios: _Optional[_Mapping[str, Measurement]] = ..., processes: _Optional[_Iterable[_Union[ProcessUsage, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ...) -> None: ...

class Board(_message.Message):
    __slots__ = ("model", "kind", "l4t")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    L4T_FIELD_NUMBER: _ClassVar[int]
    model: str
    kind: str
    l4t: str
    def __init__(self, model: _Optional[str] = ..., kind: _Optional[str] = ..., l4t: _Optional[str] = ...) -> None: ...

class ProcessUsage(_message.Message):
    __slots__ = ("name", "pid", "pss_bytes", "pss_anon_bytes", "pss_shared_bytes", "cpu_ratio", "thread_count", "descriptor_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    PSS_ANON_BYTES_FIELD_NUMBER: _ClassVar[int]
    PSS_SHARED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_RATIO_FIELD_NUMBER: _ClassVar[int]
    THREAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    pid: int
    pss_bytes: int
    pss_anon_bytes: int
    pss_shared_bytes: int
    cpu_ratio: float
    thread_count: int
    descriptor_count: int
    def __init__(self, name: _Optional[str] = ..., pid: _Optional[int] = ..., pss_bytes: _Optional[int] = ..., pss_anon_bytes: _Optional[int] = ..., pss_shared_bytes: _Optional[int] = ..., cpu_ratio: _Optional[float] = ..., thread_count: _Optional[int] = ..., descriptor_count: _Optional[int] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("name", "up", "age_seconds", "detail", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UP_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    up: bool
    age_seconds: float
    detail: str
    version: str
    def __init__(self, name: _Optional[str] = ..., up: bool = ..., age_seconds: _Optional[float] = ..., detail: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class GetTelemetryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchTelemetryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchTelemetryResponse(_message.Message):
    __slots__ = ("telemetry",)
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    telemetry: Telemetry
    def __init__(self, telemetry: _Optional[_Union[Telemetry, _Mapping]] = ...) -> None: ...
