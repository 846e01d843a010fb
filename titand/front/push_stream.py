"""One open push stream: what of it is settled, and what of that its producer has still to be told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from titan.v1 import sample_service_pb2 as samples_pb
from titand.errors import WorkerDown
from titand.runtime.stream_table import StreamPosition

ACKNOWLEDGE_SECONDS = 0.002  # apart at least; the first after a pause goes at once

Refusal = samples_pb.Refusal


class PushStream:
    """One open push stream: how far it is settled, and what of that is not acknowledged yet.

    Two threads share it: one reads batches and settles them, one writes acknowledgements. Whoever ends the stream
    first says why; from then on nothing can be settled, so that another connection may safely go on.

    Args:
        place: of the stream in the ledger.
        position: how far it is settled already.
        flush_samples: unacknowledged samples that end the pause between two acknowledgements.
    """

    def __init__(
        self,
        place: int,
        stream_id: str,
        producer: str,
        position: StreamPosition,
        open_ns: int,
        flush_samples: int,
    ) -> None:
        self.place = place
        self.stream_id = stream_id
        self.producer = producer
        self.sequence = position.sequence
        self.changed = threading.Condition()
        self._opened_ns = open_ns
        self._accepted = self._rejected = self._shed = 0
        self._pending = samples_pb.Acknowledgement()
        self._unacknowledged = 0
        self._flush_samples = flush_samples
        self._wake_at = 1
        self._ended = False
        self._failure: Exception | None = None

    # ---- the reading thread; it holds `changed` while it settles

    def require_open(self) -> None:
        """Refuse to settle anything on a stream that has ended.

        Raises:
            Exception: the reason why it ended.
        """
        if self._ended:
            raise self._failure or WorkerDown("STREAM_ENDED", "The stream has ended.")

    def accept(self, count: int, first_number: int) -> None:
        """Note that the next samples were accepted."""
        first = self.sequence + 1
        runs = self._pending.accepted
        if (
            runs
            and (last := runs[-1]).first_sequence + last.count == first
            and (last.first_number + last.count == first_number)
        ):
            last.count += count
        else:
            runs.add(first_sequence=first, first_number=first_number, count=count)
        self._accepted += count
        self._settle(count)

    def refuse(self, count: int, kind: samples_pb.Refusal.Kind, reason: str, message: str) -> None:
        """Note that the next samples were refused."""
        first = self.sequence + 1
        refusals = self._pending.refusals
        if (
            refusals
            and (last := refusals[-1]).first_sequence + last.count == first
            and ((last.reason, last.message) == (reason, message))
        ):
            last.count += count
        else:
            refusals.add(first_sequence=first, count=count, kind=kind, reason=reason, message=message)
        if kind == Refusal.KIND_SHED:
            self._shed += count
        else:
            self._rejected += count
        self._settle(count)

    def repeat(self, count: int) -> None:
        """Note duplicates: nothing changes, but their producer wants to hear of them."""
        self._note(count)

    def back_off(self, seconds: float) -> None:
        """Ask the producer to wait before its next batch."""
        self._pending.backoff_duration.FromNanoseconds(int(seconds * 1e9))

    def _settle(self, count: int) -> None:
        self.sequence += count
        self._note(count)

    def _note(self, count: int) -> None:
        self._unacknowledged += count
        if self._unacknowledged >= self._wake_at:
            self.changed.notify_all()

    # ---- the writing thread

    def acknowledgements(self) -> Iterator[samples_pb.Acknowledgement]:
        """Yield what was settled, some at a time, until the stream ends.

        Raises:
            Exception: the reason, when it did not end well; everything settled was yielded before.
        """
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._unacknowledged or self._ended)
                pending, unacknowledged = self._pending, self._unacknowledged
                self._pending, self._unacknowledged = samples_pb.Acknowledgement(), 0
                pending.acknowledged_sequence = self.sequence
            if not unacknowledged:
                if self._failure is not None:
                    raise self._failure
                return
            yield pending
            with self.changed:
                self._wake_at = self._flush_samples
                self.changed.wait_for(lambda: self._unacknowledged >= self._wake_at or self._ended, ACKNOWLEDGE_SECONDS)
                self._wake_at = 1

    # ---- anyone

    def end(self, failure: Exception | None = None) -> None:
        """End the stream, well or with a reason. Only the first end counts."""
        with self.changed:
            if not self._ended:
                self._ended, self._failure = True, failure
                self.changed.notify_all()

    def to_plain(self) -> dict[str, Any]:
        """Return what the status shows of it."""
        return {
            "stream_id": self.stream_id,
            "producer": self.producer,
            "acknowledged_sequence": self.sequence,
            "accepted": self._accepted,
            "rejected": self._rejected,
            "shed": self._shed,
            "open_ns": self._opened_ns,
        }
