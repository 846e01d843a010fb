"""What a producer has pushed, what of it is under way, and what may be sent next: the protocol without its wires.

A `PushStream` does no input or output and knows no clock, thread or generated code; `titan.pusher` and `titan.aio`
move its batches. A sample goes

    add -> waiting -> take -> under way -> acknowledge -> settled
              ^                   |
              '---- disconnect ---'

and keeps its sequence all the way, so that a server which knows how far it came can tell where to go on. Samples are
counted wherever they end; `totals` always adds up.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from titan.batch import Batch, Opening, join
from titan.errors import InvalidSample, TimedOut, TitanError
from titan.records import AcceptedRun, PushTotals, Refusal, TensorSpec
from titan.samples import Moment, many, one

GATHER_SAMPLES = 32  # a message costs as much as 100 kB of bytes: this many share it
GATHER_SECONDS = 0.02  # and wait no longer than this for each other
MESSAGE_BYTES = 1 << 20  # larger ones cost more per byte again: the allocator maps and unmaps them
BUFFER_BYTES = 64 << 20  # kept at most for sending again
RUNS_KEPT = 4096  # of accepted samples, for `number_of`; neighbours share one
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.02, 0.5
SAMPLE_OVERHEAD = 10 + 8  # bytes of a label and an observe time on the wire, at most
MESSAGE_OVERHEAD = 256  # bytes of everything else in a message, at most


class PushStream:
    """The state of one producer's stream over all its connections.

    Args:
        stream_id: names the stream to the server; the same after a reconnect.
        producer: who pushes, for people.
    """

    def __init__(self, stream_id: str, producer: str = "") -> None:
        self.opening = Opening(stream_id, producer)
        self.is_open = False
        self.failure: TitanError | None = None
        self.last_error: TitanError | None = None
        self.input_spec: TensorSpec | None = None
        self.labels: tuple[str, ...] = ()
        self.max_message_bytes = MESSAGE_BYTES
        self.last_sequence = 0
        self.acknowledged_sequence = 0
        self._credit = 0
        self._waiting: deque[Batch] = deque()
        self._under_way: deque[Batch] = deque()
        self._waiting_count = self._waiting_bytes = 0
        self._under_way_count = self._under_way_bytes = 0
        self._waiting_since = 0.0
        self._not_before = 0.0
        self._flush_sequence = 0
        self._sent_sequence = 0
        self._runs: deque[AcceptedRun] = deque(maxlen=RUNS_KEPT)
        self._accepted = self._rejected = self._shed = self._unreported = self._resent = 0
        self._is_ending = False
        self._pause_seconds = FIRST_PAUSE_SECONDS

    # ---- the app's side --------------------------------------------------------------------------------------

    def room(self, sample_bytes: int) -> int:
        """Return how many samples of this size may be added now.

        The server's credit bounds what is unacknowledged, sent or not; so does our own memory, but for one sample.
        """
        by_credit = self._credit - self._waiting_count - self._under_way_count
        kept = self._waiting_bytes + self._under_way_bytes
        by_memory = (BUFFER_BYTES - kept) // max(sample_bytes, 1)
        return max(min(by_credit, by_memory if kept else max(by_memory, 1)), 0)

    def sample(self, x: Any, label: Any, observe_time: Moment | None) -> Batch:
        """Return one sample as it goes out; bytes are taken to be what the server expects."""
        return one(x, label, observe_time, self.input_spec)

    def samples(self, xs: Any, labels: Any, observe_times: Iterable[Moment] | None) -> list[Batch]:
        """Return samples as they go out."""
        return list(many(xs, labels, observe_times, self.input_spec))

    def add(self, samples: Batch, now: float) -> int:
        """Take samples over, which must be no more than there is room for, and return the sequence of the first.

        Raises:
            InvalidSample: they are larger than any message may be; none is taken.
        """
        self._refuse_oversized(samples)
        batch = samples._replace(first_sequence=self.last_sequence + 1, data=bytes(samples.data))
        if not self._waiting:
            self._waiting_since = now
        self._waiting.append(batch)
        self._move(batch, +1, 0)
        self.last_sequence = batch.last_sequence
        return batch.first_sequence

    def flush(self) -> int:
        """Let nothing that was added wait for more, and return the last sequence that this is about."""
        self._flush_sequence = self.last_sequence
        return self.last_sequence

    def is_settled(self, sequence: int) -> bool:
        """Whether everything up to this sequence is accepted, rejected or shed.

        Raises:
            TitanError: it never will be.
        """
        if self.acknowledged_sequence < sequence:
            self.raise_failure()
        return self.acknowledged_sequence >= sequence

    def has_room(self, sample_bytes: int) -> bool:
        """Whether a sample of this size may be added now.

        Raises:
            TitanError: there will never be room again.
        """
        self.raise_failure()
        return self.room(sample_bytes) > 0

    def was_open(self) -> bool:
        """Whether the server has answered at least once.

        Raises:
            TitanError: it has refused for good.
        """
        self.raise_failure()
        return self.input_spec is not None

    def end(self) -> None:
        """Note that nothing more will be added."""
        self._is_ending = True

    def close(self) -> None:
        """Give up what is not settled."""
        self.fail(TitanError("", "CLOSED", "This client is closed.", "Make a new one."))

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do, or no way to do it."""
        nothing_left = self._waiting_count + self._under_way_count == 0
        return self.failure is not None or (self._is_ending and nothing_left)

    def raise_failure(self) -> None:
        """Raise what ended the stream, if anything did."""
        if self.failure is not None:
            raise self.failure

    def timed_out(self) -> TimedOut:
        """Return the error for who would not wait longer."""
        return TimedOut(
            "DEADLINE_EXCEEDED",
            "TIMED_OUT",
            f"Not done in time; {self.totals.unacknowledged} samples are unacknowledged.",
            "The daemon is slow, full or away. They are kept, and sent when it is back.",
        )

    def number_of(self, sequence: int) -> int | None:
        """Return the number that the server gave an accepted sample, None if it did not, or too long ago."""
        for run in reversed(self._runs):
            if run.first_sequence <= sequence < run.first_sequence + run.count:
                return run.first_number + sequence - run.first_sequence
        return None

    @property
    def totals(self) -> PushTotals:
        """What became of everything so far."""
        return PushTotals(
            self.last_sequence,
            self._accepted,
            self._rejected,
            self._shed,
            self._unreported,
            self._waiting_count + self._under_way_count,
            self._resent,
        )

    # ---- the connection's side -------------------------------------------------------------------------------

    def due(self, now: float) -> float | None:
        """Return when `take` has something to give: a time, `now` or earlier for at once, None until told more."""
        if not self.is_open or not self._waiting or self._under_way_count >= self._credit:
            return None
        is_full = (
            self._waiting_count >= GATHER_SAMPLES
            or self._waiting_bytes >= self._message_limit()
            or self._waiting_count + self._under_way_count >= self._credit
            or self._waiting[0].first_sequence <= self._flush_sequence
        )
        return max(now if is_full else self._waiting_since + GATHER_SECONDS, self._not_before)

    def take(self, now: float) -> Batch:
        """Return the next batch to send; call it when `due` says so."""
        self._refuse_oversized(self._waiting[0])
        pieces: list[Batch] = []
        allowance = self._credit - self._under_way_count
        space = self._message_limit()
        while self._waiting and allowance > 0 and (not pieces or pieces[0].goes_with(self._waiting[0])):
            piece = self._waiting[0]
            fit = min(allowance, space // (piece.sample_bytes + SAMPLE_OVERHEAD))
            if not pieces:
                fit = max(fit, 1)  # one always fits: above the size that we like, below what the server takes
            if fit == 0:
                break
            self._waiting.popleft()
            if piece.sample_count > fit:
                piece, rest = piece.split(fit)
                self._waiting.appendleft(rest)
            pieces.append(piece)
            allowance -= piece.sample_count
            space -= piece.sample_count * (piece.sample_bytes + SAMPLE_OVERHEAD)
        batch = join(pieces)
        self._waiting_since = now
        self._move(batch, -1, +1)
        self._under_way.append(batch)
        self._resent += max(min(batch.last_sequence, self._sent_sequence) - batch.first_sequence + 1, 0)
        self._sent_sequence = max(self._sent_sequence, batch.last_sequence)
        return batch

    def opened(
        self,
        acknowledged_sequence: int,
        input_spec: TensorSpec,
        labels: tuple[str, ...],
        max_message_bytes: int,
        credit: int,
    ) -> None:
        """Note the server's answer to the opening: go on behind what it has settled.

        What it settled of ours without our hearing the verdicts is counted as unreported.
        """
        self._refuse_impossible(acknowledged_sequence)
        self.input_spec, self.labels = input_spec, labels
        self.max_message_bytes, self._credit = max_message_bytes, credit
        self._unreported += max(acknowledged_sequence - self.acknowledged_sequence, 0)
        self._settle(acknowledged_sequence)
        self.is_open = True

    def acknowledge(
        self,
        acknowledged_sequence: int,
        accepted: Iterable[AcceptedRun],
        refusals: Iterable[Refusal],
        credit: int,
        not_before: float = 0.0,
    ) -> list[Refusal]:
        """Note what became of samples, and return the refusals that are news."""
        self._refuse_impossible(acknowledged_sequence)
        first, last = self.acknowledged_sequence + 1, acknowledged_sequence
        runs = [run for run in (_clip_run(run, first, last) for run in accepted) if run.count > 0]
        news = [refusal for refusal in (_clip_refusal(each, first, last) for each in refusals) if refusal.count > 0]
        for run in runs:
            self._remember(run)
        heard = sum(run.count for run in runs) + sum(refusal.count for refusal in news)
        self._accepted += sum(run.count for run in runs)
        self._rejected += sum(refusal.count for refusal in news if refusal.kind != "shed")
        self._shed += sum(refusal.count for refusal in news if refusal.kind == "shed")
        self._unreported += max(last - first + 1, 0) - heard
        self._settle(last)
        self._credit, self._not_before = credit, not_before
        return news

    def disconnect(self, error: TitanError | None = None) -> None:
        """Note that the connection is gone: what was under way waits again, in order.

        An error that may pass is waited out; any other is final.
        """
        self.last_error = error
        if self.is_open:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        self.is_open = False
        self._not_before = 0.0
        for batch in reversed(self._under_way):
            self._waiting.appendleft(batch)
            self._move(batch, +1, -1)
        self._under_way.clear()
        may_pass = (
            error is None
            or error.code in ("UNAVAILABLE", "CANCELLED")
            # Of too many streams our own broken one may be the one that is too many.
            or (error.reason == "TOO_MANY_STREAMS" and self.input_spec is not None)
        )
        if error is not None and not may_pass:
            self.fail(error)

    def fail(self, error: TitanError) -> None:
        """End the stream for good; the first reason counts."""
        self.failure = self.failure or error

    def fail_itself(self, error: BaseException) -> None:
        """End the stream because whoever moves its batches cannot go on."""
        self.fail(TitanError("", "CLIENT_FAILED", f"The client itself failed: {error!r}.", "Make a new one."))

    def next_pause(self) -> float:
        """Return how many seconds to wait before connecting again; longer each time in vain."""
        pause = self._pause_seconds
        self._pause_seconds = min(2 * pause, LAST_PAUSE_SECONDS)
        return pause

    # ---- bookkeeping -----------------------------------------------------------------------------------------

    def _message_limit(self) -> int:
        return min(MESSAGE_BYTES, self.max_message_bytes - MESSAGE_OVERHEAD)

    def _refuse_oversized(self, batch: Batch) -> None:
        size = batch.sample_bytes + SAMPLE_OVERHEAD + MESSAGE_OVERHEAD
        if size > self.max_message_bytes:
            raise InvalidSample(
                "",
                "SAMPLE_TOO_LARGE",
                f"A sample of {batch.sample_bytes} bytes ({batch.spec}) needs a message of {size}; "
                f"the daemon takes {self.max_message_bytes}.",
                "Push smaller samples, or raise the daemon's ingest.max_message_bytes.",
                {"max_message_bytes": str(self.max_message_bytes)},
            )

    def _refuse_impossible(self, acknowledged_sequence: int) -> None:
        if acknowledged_sequence > self._sent_sequence:
            raise TitanError(
                "",
                "PROTOCOL_VIOLATION",
                f"The daemon acknowledged sample {acknowledged_sequence} of stream '{self.opening.stream_id}'; "
                f"only {self._sent_sequence} were sent.",
                "Give every producer a stream of its own.",
            )

    def _settle(self, sequence: int) -> None:
        """Forget everything up to `sequence`."""
        for batches, waiting, under_way in ((self._under_way, 0, -1), (self._waiting, -1, 0)):
            while batches and batches[0].first_sequence <= sequence:
                batch = batches.popleft()
                if batch.last_sequence > sequence:
                    batch, rest = batch.split(sequence - batch.first_sequence + 1)
                    batches.appendleft(rest)
                self._move(batch, waiting, under_way)
        self.acknowledged_sequence = max(self.acknowledged_sequence, sequence)

    def _move(self, batch: Batch, waiting: int, under_way: int) -> None:
        """Count a batch in (+1) or out (-1) of what waits and of what is under way."""
        size = len(batch.data)
        self._waiting_count += waiting * batch.sample_count
        self._waiting_bytes += waiting * size
        self._under_way_count += under_way * batch.sample_count
        self._under_way_bytes += under_way * size

    def _remember(self, run: AcceptedRun) -> None:
        last = self._runs[-1] if self._runs else None
        if last and (last.first_sequence + last.count, last.first_number + last.count) == (
            run.first_sequence,
            run.first_number,
        ):
            self._runs[-1] = replace(last, count=last.count + run.count)
        else:
            self._runs.append(run)


def _clip_run(run: AcceptedRun, first: int, last: int) -> AcceptedRun:
    """Return the part of a run that lies within `first` to `last`; its count is 0 or less when there is none."""
    skip = max(first - run.first_sequence, 0)
    end = min(run.first_sequence + run.count - 1, last)
    return AcceptedRun(run.first_sequence + skip, run.first_number + skip, end - run.first_sequence - skip + 1)


def _clip_refusal(refusal: Refusal, first: int, last: int) -> Refusal:
    begin = max(first, refusal.first_sequence)
    end = min(refusal.first_sequence + refusal.count - 1, last)
    return replace(refusal, first_sequence=begin, count=end - begin + 1)


def new_stream(producer: str | None = None) -> PushStream:
    """Return a stream that nobody else has, pushed by the given producer, by default this program."""
    name = os.fsencode(os.path.basename(sys.argv[0])).decode(errors="replace")  # a path need not be text
    program = f"{name[:40] or 'python'}[{os.getpid()}]"
    return PushStream(uuid.uuid4().hex, program if producer is None else producer)
