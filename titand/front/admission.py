"""How a batch is settled: duplicates skipped, flawed samples refused, the others admitted or, past patience, shed."""

from __future__ import annotations

from collections.abc import Callable

from titan.v1 import sample_service_pb2 as samples_pb
from titand.clock import Clock
from titand.errors import InvalidRequest
from titand.front.convert import Columns, Flaw, InputCheck
from titand.front.push_stream import PushStream, Refusal
from titand.runtime.ledger import Ledger
from titand.telemetry.stages import Stages

ROOM_SECONDS = 0.01  # between two looks for free slots
BACK_OFF_SECONDS = 1.0  # asked of a producer whose samples are shed
LAST_SEQUENCE = 2**63 - 1

ARENA_FULL = (
    "ARENA_FULL",
    "No slot became free within the configured patience: push more slowly, or raise ingest.arena_bytes.",
)
LOG_FULL = (
    "LOG_FULL",
    "No checkpoint made room in the log of samples within the configured patience: push more slowly, or raise"
    " ingest.log_bytes or storage.daily_bytes.",
)


class Admission:
    """Settles the batches of one stream.

    A full arena stops the stream, and so does a full log: its batch waits, nothing more is read, and flow control stops
    the producer. Once it has been full for the configured patience, what does not fit is shed at once, until there is
    room again. A log that has not even room for a note of that stops the stream for as long as it takes.

    Args:
        ledger: admits and counts.
        stream: takes the outcome.
        check: what a sample must look like.
        patience_seconds: asked each time, for it may change.
        clock: measures the patience.
        stages: takes the times.
    """

    def __init__(
        self,
        ledger: Ledger,
        stream: PushStream,
        check: InputCheck,
        patience_seconds: Callable[[], float],
        clock: Clock,
        stages: Stages,
    ) -> None:
        self._ledger = ledger
        self._stream = stream
        self._check = check
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._stages = stages
        self._full_since_ns: int | None = None
        self._is_placed = False

    def settle(self, batch: samples_pb.SampleBatch) -> None:
        """Accept, refuse or shed every sample of a batch.

        Raises:
            InvalidRequest: the batch has no place in the stream; nothing of it was settled.
            Exception: the stream was ended meanwhile; the rest of the batch is not settled.
        """
        start_ns = self._clock.monotonic_ns()
        columns = self._check.columns(batch)
        count, stream = len(columns.labels), self._stream
        _require_place(batch.first_sequence, count, stream.sequence + 1 if self._is_placed else None)
        settled = stream.sequence + 1 - batch.first_sequence
        self._waited_ns = 0
        if settled != 0:
            with stream.changed:
                stream.require_open()
                if settled > 0:
                    stream.repeat(min(settled, count))
                else:
                    # Only the first batch of a connection: we have forgotten what was settled before a crash.
                    stream.sequence, settled = batch.first_sequence - 1, 0
        self._is_placed = True
        for run in columns.runs:
            start = max(run.start, settled)
            if start >= run.stop:
                continue
            if run.flaw:
                self._reject(run.stop - start, run.flaw)
            else:
                self._admit(columns, start, run.stop, run.is_labelled)
        self._stages.record("admit", self._clock.monotonic_ns() - start_ns - self._waited_ns)
        if self._waited_ns:
            self._stages.record("wait_for_room", self._waited_ns)

    def _reject(self, count: int, flaw: Flaw) -> None:
        while not self._refuse(count, Refusal.KIND_REJECTED, flaw.reason, flaw.message):
            self._wait()

    def _refuse(self, count: int, kind: samples_pb.Refusal.Kind, reason: str, message: str) -> bool:
        stream = self._stream
        rejected, shed = (count, 0) if kind == Refusal.KIND_REJECTED else (0, count)
        with stream.changed:
            stream.require_open()
            if self._ledger.refuse(stream.place, stream.sequence + count, rejected, shed):
                stream.refuse(count, kind, reason, message)
                if shed:
                    stream.back_off(BACK_OFF_SECONDS)
                return True
        return False

    def _wait(self) -> None:
        """Wait for room, or for the end of the stream."""
        before_ns = self._clock.monotonic_ns()
        with self._stream.changed:
            self._stream.changed.wait(ROOM_SECONDS)
        self._waited_ns += self._clock.monotonic_ns() - before_ns

    def _admit(self, columns: Columns, start: int, stop: int, is_labelled: bool) -> None:
        stream, size = self._stream, self._check.sample_bytes
        while True:
            with stream.changed:
                stream.require_open()
                for first_number, count in self._ledger.admit(
                    stream.place,
                    stream.sequence + 1,
                    columns.labels[start:stop],
                    columns.observed_ns[start:stop],
                    columns.data[start * size : stop * size],
                    is_labelled,
                ):
                    stream.accept(count, first_number)
                    start += count
                if start == stop:
                    self._full_since_ns = None
                    return
            full = LOG_FULL if self._ledger.is_log_full else ARENA_FULL
            if self._patience_is_over() and self._refuse(stop - start, Refusal.KIND_SHED, *full):
                return
            self._wait()

    def _patience_is_over(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        if self._full_since_ns is None:
            self._full_since_ns = now_ns
        return now_ns - self._full_since_ns >= self._patience_seconds() * 1e9


def _require_place(first_sequence: int, count: int, expected: int | None) -> None:
    if count == 0:
        raise InvalidRequest("BATCH_EMPTY", "The batch has no labels, so no samples.", "Send one label per sample.")
    if not 1 <= first_sequence <= LAST_SEQUENCE - count:
        raise InvalidRequest(
            "SEQUENCE_INVALID",
            f"Sequence {first_sequence} is not between 1 and {LAST_SEQUENCE - count}.",
            "Number samples from 1 on.",
        )
    if expected is not None and first_sequence > expected:
        raise InvalidRequest(
            "SEQUENCE_GAP",
            f"The batch begins at sequence {first_sequence}, expected was {expected}.",
            "Send every sample in order; after a reconnect go on behind acknowledged_sequence.",
            {"expected_sequence": str(expected)},
        )
