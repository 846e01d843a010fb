"""Bytes as a batch, through everything between the wire and the arena: `python -m tests.faults.fuzz SECONDS`.

Needs atheris, which mutates what has reached new code. Ends with an error at the first input that breaks a law.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from pathlib import Path

from google.protobuf.message import DecodeError

from titan.v1.sample_service_pb2 import SampleBatch
from titan.v1.tensor_pb2 import TensorSpec as SpecMessage
from titand.clock import SystemClock
from titand.errors import InvalidRequest
from titand.front import admission, convert, push_stream
from titand.front.admission import Admission
from titand.front.convert import InputCheck
from titand.front.streams import Streams
from titand.records import TensorSpec
from titand.runtime import journal, ledger, pending, slots
from titand.runtime.arena import FILLED, TRAINED, Arena, ArenaLayout, create_arena
from titand.runtime.counters import counts_of
from titand.runtime.ledger import Ledger
from titand.telemetry.stages import Stages

WATCHED = (admission, convert, push_stream, journal, ledger, pending, slots)
CLASSES = 3
SPECS = [TensorSpec("uint8", (2, 2)), TensorSpec("float16", (3,)), TensorSpec("float32", (2,))]


class Door:
    """Everything between the wire and the arena, for one kind of sample."""

    def __init__(self, spec: TensorSpec) -> None:
        clock = SystemClock()
        self.arena = Arena(create_arena(ArenaLayout(32, spec.size_bytes)))
        books = Ledger(self.arena, os.eventfd(0), clock)
        self.stream = Streams(books, 1, 16, clock).open("", "")
        check = InputCheck(spec, CLASSES)
        self.admission = Admission(books, self.stream, check, lambda: 0.0, clock, Stages(clock))

    def take(self, data: bytes) -> None:
        """Settle a batch, or refuse it, and check the laws."""
        before, sequence = counts_of(self.arena).pushed, self.stream.sequence
        try:
            batch = SampleBatch.FromString(data)
            batch.first_sequence = batch.first_sequence or sequence + 1
            self.admission.settle(batch)
        except (DecodeError, InvalidRequest):
            pass
        counts = counts_of(self.arena)
        assert counts.is_balanced, counts
        assert self.stream.sequence >= sequence
        assert counts.pushed - before in (0, self.stream.sequence - sequence), "settled is not what was counted"
        assert all(0 <= self.arena.label[slot] < CLASSES for slot in self.arena.slots_in(FILLED))
        self.arena.mark(self.arena.slots_in(FILLED), TRAINED)


DOORS = [Door(spec) for spec in SPECS]


def try_one(data: bytes) -> None:
    """Try one input at the door that its first byte names."""
    if data:
        DOORS[data[0] % len(DOORS)].take(data[1:])


def examples() -> list[bytes]:
    """Return inputs to begin with: sound batches, and some that are not, for each door."""
    made = []
    for door, spec in enumerate(SPECS):
        message = SpecMessage(data_type=f"DATA_TYPE_{spec.data_type.upper()}", shape=spec.shape)
        for labels in ([0], [0, 1, 2], [1, 99, -1]):
            for fill in (b"\0", b"\xff"):
                data = fill * (spec.size_bytes * len(labels))
                batch = SampleBatch(spec=message, labels=labels, data=data, observe_times_ns=[7] * (len(labels) % 2))
                made.append(bytes([door]) + batch.SerializeToString())
    return made


def main(seconds: int) -> None:
    """Try for so long; does not return."""
    import atheris

    for module in WATCHED:
        for thing in list(vars(module).values()):
            for function in [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]:
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as corpus:
        for place, example in enumerate(examples()):
            (Path(corpus) / str(place)).write_bytes(example)
        flags = [f"-max_total_time={seconds}", "-max_len=512", f"-artifact_prefix={corpus}/"]
        atheris.Setup([sys.argv[0], corpus, *flags], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]))
