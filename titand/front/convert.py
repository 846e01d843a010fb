"""What arrives, checked: a batch becomes columns, and runs of samples that are fine or share a flaw.

Pure, and without numpy: whole columns go through the few built-in functions that run at the speed of C.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from titan.v1 import sample_service_pb2 as samples_pb
from titan.v1 import tensor_pb2
from titand.records import TensorSpec
from titand.runtime.arena import UNLABELLED

_TYPE_NAMES: Mapping[int, str] = {
    number: name.removeprefix("DATA_TYPE_").lower()
    for name, number in tensor_pb2.TensorSpec.DataType.items()
    if number != tensor_pb2.TensorSpec.DATA_TYPE_UNSPECIFIED
}

# By data type: bytes of an element, its struct code, and a table that maps the high byte of every element that may
# be infinite or NaN to 1. Of float32 the high byte holds only seven bits of the exponent, so that a finite one may be
# suspected; then every element of that sample is looked at.
_FLOATS: Mapping[str, tuple[int, str, bytes]] = {
    "float16": (2, "e", bytes(high & 0x7C == 0x7C for high in range(256))),
    "float32": (4, "f", bytes(high & 0x7F == 0x7F for high in range(256))),
}


class Flaw(NamedTuple):
    """Why a sample is not taken."""

    reason: str
    message: str


class Run(NamedTuple):
    """Neighbouring samples [start, stop) of a batch that are fine, or have the same flaw; all labelled, or none."""

    start: int
    stop: int
    flaw: Flaw | None
    is_labelled: bool = True


class Columns(NamedTuple):
    """A checked batch.

    Attributes:
        labels: [N] int32.
        observed_ns: [N] int64, or empty.
        data: [N * sample bytes] bytes; meaningful where the runs are fine.
        runs: cover 0 to N in order.
    """

    labels: memoryview[int]
    observed_ns: memoryview[int]
    data: memoryview[int]
    runs: list[Run]


def spec_message(spec: TensorSpec) -> tensor_pb2.TensorSpec:
    """Return a spec as it goes over the wire."""
    return tensor_pb2.TensorSpec(data_type=f"DATA_TYPE_{spec.data_type.upper()}", shape=spec.shape)


class InputCheck:
    """Checks batches against what the model takes.

    Args:
        spec: type and shape of one sample.
        class_count: labels are below it.

    Example:
        >>> check = InputCheck(TensorSpec("uint8", (2,)), class_count=3)
        >>> batch = samples_pb.SampleBatch(spec=check.message, labels=[0, 7, -1], data=bytes(6))
        >>> [(run.start, run.stop, run.flaw and run.flaw.reason, run.is_labelled) for run in check.columns(batch).runs]
        [(0, 1, None, True), (1, 2, 'LABEL_OUT_OF_RANGE', True), (2, 3, None, False)]
    """

    def __init__(self, spec: TensorSpec, class_count: int) -> None:
        self.message = spec_message(spec)
        self.sample_bytes = spec.size_bytes
        self._spec = spec
        self._class_count = class_count

    def columns(self, batch: samples_pb.SampleBatch) -> Columns:
        """Return the columns of a batch, and which of its samples are fine."""
        labels, observed_ns, data = array("i", batch.labels[:]), array("q", batch.observe_times_ns[:]), batch.data
        flaw = self._flaw_of_all(batch, len(labels), len(observed_ns), len(data))
        runs = [Run(0, len(labels), flaw)] if flaw else self._runs(labels, data)
        return Columns(memoryview(labels), memoryview(observed_ns), memoryview(data), runs)

    def _flaw_of_all(self, batch: samples_pb.SampleBatch, count: int, times: int, size: int) -> Flaw | None:
        wanted = self._spec
        if batch.spec != self.message:
            found = _TYPE_NAMES.get(batch.spec.data_type, "no type")
            if found != wanted.data_type:
                return Flaw("WRONG_TYPE", f"The samples are {found}; the model takes {wanted.data_type}.")
            shape = "x".join(map(str, batch.spec.shape)) or "no shape"
            return Flaw("WRONG_SHAPE", f"The samples are {shape}; the model takes {'x'.join(map(str, wanted.shape))}.")
        if size != count * wanted.size_bytes:
            return Flaw(
                "WRONG_SIZE",
                f"{count} samples came with {size} bytes; each takes {wanted.size_bytes}: send one label per sample"
                " and all its bytes.",
            )
        if times not in (0, count):
            return Flaw("WRONG_TIMES", f"{count} samples came with {times} observe times: send one each, or none.")
        return None

    def _runs(self, labels: array[int], data: bytes) -> list[Run]:
        flaws: dict[int, Flaw] = {}
        if self._spec.data_type in _FLOATS:
            flaws.update(self._not_finite(data))
        is_sound = not labels or (min(labels) >= 0 and max(labels) < self._class_count)
        if not is_sound:
            flaws.update(self._out_of_range(labels))
        if is_sound and not flaws:
            return [Run(0, len(labels), None)]
        return list(_grouped([(flaws.get(place), label != UNLABELLED) for place, label in enumerate(labels)]))

    def _out_of_range(self, labels: array[int]) -> Iterator[tuple[int, Flaw]]:
        for place, label in enumerate(labels):
            if not 0 <= label < self._class_count and label != UNLABELLED:
                yield (
                    place,
                    Flaw("LABEL_OUT_OF_RANGE", f"Label {label} is not one of 0 to {self._class_count - 1}."),
                )

    def _not_finite(self, data: bytes) -> Iterator[tuple[int, Flaw]]:
        item_bytes, code, table = _FLOATS[self._spec.data_type]
        suspects = data[item_bytes - 1 :: item_bytes].translate(table)
        sample_items = self._spec.item_count
        place = suspects.find(1)
        while place >= 0:
            sample = place // sample_items
            values = struct.unpack_from(f"<{sample_items}{code}", data, sample * self._spec.size_bytes)
            if not all(map(math.isfinite, values)):
                yield sample, Flaw("NOT_FINITE", "The sample holds a NaN or an infinity: mend it before it is pushed.")
            place = suspects.find(1, (sample + 1) * sample_items)


def _grouped(kinds: list[tuple[Flaw | None, bool]]) -> Iterator[Run]:
    start = 0
    for stop in range(1, len(kinds) + 1):
        if stop == len(kinds) or kinds[stop] != kinds[start]:
            yield Run(start, stop, *kinds[start])
            start = stop
