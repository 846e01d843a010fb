"""Loads a model file back: is it what its format promises, and does it hold numbers?"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from array import array
from typing import Any, BinaryIO, NamedTuple

from titan.errors import CorruptFile

LENGTH_BYTES = 8  # of the header's length, in front of it
HEADER_LIMIT = 100_000_000  # what the format allows
ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
ARRAY_CODES = {"F32": "f", "F64": "d"}

LOAD_PT2 = """
import sys, torch
program = torch.export.load(sys.argv[1])
bad = [name for name, value in program.state_dict.items() if value.is_floating_point() and not value.isfinite().all()]
if bad:
    sys.exit("not finite: " + ", ".join(bad))
print(len(program.state_dict))
"""


def load_back(path: str, file_format: str) -> str:
    """Load a model file, and return in words what was found.

    Raises:
        CorruptFile: it is not a sound file of its format.
    """
    return _safetensors(path) if file_format == "safetensors" else _pt2(path)


class Tensor(NamedTuple):
    """A tensor as the header has it; sorts by its place."""

    begin: int
    end: int
    name: str
    data_type: str
    item_count: int


def _safetensors(path: str) -> str:
    """Check a safetensors file: every tensor at its place, nothing between or behind, no NaN or infinity."""
    with open(path, "rb") as file:
        tensors, data_begin = header(file, path)
        reached = 0
        for each in tensors:
            if each.begin != reached or each.end - each.begin != each.item_count * ITEM_BYTES.get(each.data_type, -1):
                raise _corrupt(path, f"tensor '{each.name}' is not where its shape and its neighbours put it")
            file.seek(data_begin + each.begin)
            _check_finite(path, each, file.read(each.end - each.begin))
            reached = each.end
        if data_begin + reached != os.fstat(file.fileno()).st_size:
            raise _corrupt(path, "the tensors do not cover the file")
    return f"{len(tensors)} tensors, {sum(each.item_count for each in tensors):,} numbers, all finite"


def header(file: BinaryIO, path: str) -> tuple[list[Tensor], int]:
    """Return the tensors in the order of the file, and where their bytes begin."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > min(HEADER_LIMIT, os.fstat(file.fileno()).st_size - LENGTH_BYTES):
        raise _corrupt(path, "its header is longer than itself")
    try:
        entries: dict[str, Any] = json.loads(file.read(length))
        tensors = [
            Tensor(int(begin), int(end), name, str(entry["dtype"]), math.prod(entry["shape"]))
            for name, entry in entries.items()
            if name != "__metadata__"
            for begin, end in [entry["data_offsets"]]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _corrupt(path, f"its header makes no sense ({error!r})") from None
    return sorted(tensors), LENGTH_BYTES + length


def _check_finite(path: str, tensor: Tensor, data: bytes) -> None:
    code = ARRAY_CODES.get(tensor.data_type)
    if code is None or len(data) != tensor.end - tensor.begin:  # a short read is told by the file's length
        return
    numbers = array(code, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):  # a sum is one quick look
        raise _corrupt(path, f"tensor '{tensor.name}' holds a NaN or an infinity")


def _pt2(path: str) -> str:
    """Load an exported program in a process of its own; torch is no part of this package."""
    if importlib.util.find_spec("torch") is None:
        return "not here, for want of torch; the daemon loaded it back when it made it"
    done = subprocess.run([sys.executable, "-c", LOAD_PT2, path], capture_output=True, text=True)
    if done.returncode != 0:
        raise _corrupt(path, f"torch cannot load it: {done.stderr.strip().splitlines()[-1:]}")
    return f"{done.stdout.strip()} tensors, all finite, by torch in a fresh process"


def _corrupt(path: str, why: str) -> CorruptFile:
    return CorruptFile(
        "DATA_LOSS", "MODEL_FILE_CORRUPT", f"{path}: {why}.", "It arrived as the daemon has it: take another snapshot."
    )
