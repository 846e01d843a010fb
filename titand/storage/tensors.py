"""Named tensors as a safetensors file, written without torch, numpy or a copy."""

# Why not the library's own writer: its function for raw buffers changed its arguments between 0.5 and 0.8 (bytes
# in a dict, then raw pointers), returns the whole file as one more copy in memory, and orders metadata by chance.
# The format is eight bytes, a JSON header and the data; the tests hold it against the library's reader.

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from titand.storage.files import Buffer

# As torch and numpy call it -> (as the format calls it, bytes per element), in the order in which the library
# lays tensors out: larger elements first, so that each is aligned.
DATA_TYPES = {
    "int64": ("I64", 8),
    "float64": ("F64", 8),
    "float32": ("F32", 4),
    "int32": ("I32", 4),
    "bfloat16": ("BF16", 2),
    "float16": ("F16", 2),
    "int16": ("I16", 2),
    "int8": ("I8", 1),
    "uint8": ("U8", 1),
    "bool": ("BOOL", 1),
}
RANK = {data_type: rank for rank, data_type in enumerate(DATA_TYPES)}
ALIGNMENT_BYTES = 8  # of the data, as the library's own writer has it


@dataclass(frozen=True)
class RawTensor:
    """A tensor as it lies in memory: row-major, little-endian, no padding."""

    data_type: str
    shape: tuple[int, ...]
    data: Buffer


def encode_tensors(tensors: Mapping[str, RawTensor], metadata: Mapping[str, str] | None = None) -> Iterator[Buffer]:
    """Yield a safetensors file piece by piece; equal input gives equal bytes, in whatever order it comes.

    The bytes are those of the library's own writer.

    Args:
        tensors: by name; must not change until the last piece is taken.
        metadata: texts for whoever reads the file.

    Raises:
        ValueError: a data type that the format does not know, or a size that does not fit the shape.

    Example:
        >>> pieces = encode_tensors({"bias": RawTensor("float32", (2,), bytes(8))})
        >>> [len(piece) for piece in pieces]
        [72, 8]
    """
    for name, tensor in tensors.items():
        if tensor.data_type not in DATA_TYPES:
            raise ValueError(f"{name}: the safetensors format has no {tensor.data_type}")
    ordered = sorted(tensors.items(), key=lambda item: (RANK[item[1].data_type], item[0]))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    start = 0
    for name, tensor in ordered:
        code, item_bytes = DATA_TYPES[tensor.data_type]
        stop = start + memoryview(tensor.data).nbytes
        if stop - start != math.prod(tensor.shape) * item_bytes:
            raise ValueError(f"{name}: {stop - start} bytes are no {tensor.data_type} {list(tensor.shape)}")
        header[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    yield struct.pack("<Q", len(text)) + text
    for _, tensor in ordered:
        yield tensor.data
