"""Loads a model file back: is it what its format promises, and does it hold numbers?"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from array import array
from typing import Any, BinaryIO

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


def _safetensors(path: str) -> str:
    """Check a safetensors file: every tensor at its place, nothing between or behind, no NaN or infinity."""
    with open(path, "rb") as file:
        header, begin = _header(file, path)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 0
        for name, entry in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
            first, last = entry["data_offsets"]
            if first != end or last - first != math.prod(entry["shape"]) * ITEM_BYTES.get(entry["dtype"], -1):
                raise _corrupt(path, f"tensor '{name}' is not where its shape and its neighbours put it")
            file.seek(begin + first)
            _check_finite(path, name, entry["dtype"], file.read(last - first))
            end = last
        if begin + end != os.fstat(file.fileno()).st_size:
            raise _corrupt(path, "the tensors do not cover the file")
    numbers = sum(math.prod(entry["shape"]) for entry in tensors.values())
    return f"{len(tensors)} tensors, {numbers:,} numbers, all finite"


def _header(file: BinaryIO, path: str) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > min(HEADER_LIMIT, os.fstat(file.fileno()).st_size - LENGTH_BYTES):
        raise _corrupt(path, "its header is longer than itself")
    try:
        header = json.loads(file.read(length))
    except ValueError as error:
        raise _corrupt(path, f"its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is no table")
    return header, LENGTH_BYTES + length


def _check_finite(path: str, name: str, data_type: str, data: bytes) -> None:
    code = ARRAY_CODES.get(data_type)
    if code is None:
        return
    numbers = array(code, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):  # a sum is one quick look
        raise _corrupt(path, f"tensor '{name}' holds a NaN or an infinity")


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
