"""Arrays and buffers as the bytes that go on the wire, without needing numpy to know numpy's arrays."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from titan.errors import InvalidSample
from titan.records import TensorSpec

# Type codes of the buffer protocol and of the array interface.
DATA_TYPES = {"B": "uint8", "h": "int16", "e": "float16", "f": "float32"}
INTERFACE_TYPES = {"|u1": "uint8", "<i2": "int16", "<f2": "float16", "<f4": "float32"}
LABEL_LIMIT = 2**31


def tensor(array: Any) -> tuple[TensorSpec, memoryview]:
    """Return type and shape of an array, and its bytes: row-major, shared with the array where they already are so.

    Args:
        array: anything with the buffer protocol (numpy array, array.array, memoryview) or `__array_interface__`.

    Raises:
        InvalidSample: the array is not uint8, int16, float16 or float32, or not an array at all.

    >>> from array import array
    >>> spec, data = tensor(memoryview(array("h", [1, 2, 3, 4, 5, 6])).cast("B").cast("h", (2, 3)))
    >>> str(spec), data.nbytes
    ('int16 2x3', 12)
    """
    try:
        view = memoryview(array)
    except TypeError:
        return _from_interface(array)
    except ValueError as error:  # numpy says so of types that the buffer protocol has no code for
        raise _wrong_type(str(error)) from None
    data_type = DATA_TYPES.get(view.format.lstrip("@<="))
    if data_type is None:
        raise _wrong_type(str(getattr(array, "dtype", view.format)))
    flat = (
        view.cast("B")
        if view.c_contiguous and view.format in ("B", "h", "f") and view.nbytes
        else memoryview(view.tobytes())
    )
    return TensorSpec(data_type, view.shape or ()), flat


def label_number(value: Any) -> int:
    """Return a class id as an int; any integer type will do.

    Raises:
        InvalidSample: it is no integer, or none that fits.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidSample(
            "", "LABEL_NOT_INTEGER", f"A label is a class id, an integer; this is {value!r}.",
            "Map class names to ids by the order of the model's labels ('titanctl status --json').",
        ) from None  # fmt: skip
    if not -LABEL_LIMIT <= number < LABEL_LIMIT:
        raise InvalidSample("", "LABEL_TOO_LARGE", f"The label {number} does not fit 32 bits.", "Use the class id.")
    return number


def label_numbers(values: Iterable[Any]) -> list[int]:
    """Return class ids as ints."""
    return [label_number(value) for value in listed(values)]


def listed(values: Iterable[Any]) -> Sequence[Any]:
    """Return the elements of an array or of anything that can be iterated."""
    found: Sequence[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return found


def _from_interface(array: Any) -> tuple[TensorSpec, memoryview]:
    interface = getattr(array, "__array_interface__", None)
    if interface is None:
        raise InvalidSample(
            "", "NOT_AN_ARRAY", f"A {type(array).__name__} is neither a buffer nor an array.",
            "Push a numpy array, an array.array, or bytes; of a torch tensor its .numpy().",
        )  # fmt: skip
    if interface.get("strides") is not None:
        raise InvalidSample("", "NOT_CONTIGUOUS", "The array has gaps.", "Copy it first: numpy.ascontiguousarray(x).")
    data_type = INTERFACE_TYPES.get(interface["typestr"])
    if data_type is None:
        raise _wrong_type(interface["typestr"])
    spec = TensorSpec(data_type, tuple(interface["shape"]))
    data = interface["data"]
    if isinstance(data, tuple):
        data = ctypes.string_at(data[0], spec.size_bytes)
    return spec, memoryview(data).cast("B")


def _wrong_type(name: str) -> InvalidSample:
    return InvalidSample(
        "", "WRONG_DATA_TYPE", f"Samples are uint8, int16, float16 or float32, little-endian; this is '{name}'.",
        "Convert it knowingly, for example with x.astype('float32').",
    )  # fmt: skip
