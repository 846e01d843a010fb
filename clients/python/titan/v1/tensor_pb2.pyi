from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TensorSpec(_message.Message):
    __slots__ = ("data_type", "shape")
    class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DATA_TYPE_UNSPECIFIED: _ClassVar[TensorSpec.DataType]
        DATA_TYPE_UINT8: _ClassVar[TensorSpec.DataType]
        DATA_TYPE_INT16: _ClassVar[TensorSpec.DataType]
        DATA_TYPE_FLOAT16: _ClassVar[TensorSpec.DataType]
        DATA_TYPE_FLOAT32: _ClassVar[TensorSpec.DataType]
    DATA_TYPE_UNSPECIFIED: TensorSpec.DataType
    DATA_TYPE_UINT8: TensorSpec.DataType
    DATA_TYPE_INT16: TensorSpec.DataType
    DATA_TYPE_FLOAT16: TensorSpec.DataType
    DATA_TYPE_FLOAT32: TensorSpec.DataType
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    data_type: TensorSpec.DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, data_type: _Optional[_Union[TensorSpec.DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...
