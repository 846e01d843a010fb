"""A `PushStream` with a thread and a gRPC stream around it.

gRPC's own thread asks `_messages` for what to send; our thread reads the answers and opens the stream again whenever it
breaks. Both and the app meet under one lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from titan import wire
from titan.address import no_answer, why_unreachable
from titan.errors import TimedOut, TitanError
from titan.records import PushTotals, Refusal
from titan.rpc import from_call
from titan.stream import Batch, Opening, PushStream
from titan.v1.sample_service_pb2 import PushSamplesResponse

METHOD = "/titan.v1.SampleService/PushSamples"
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.02, 0.5
REFUSALS_KEPT = 1000  # the newest; all are counted
HALF_CLOSE_SECONDS = 2.0  # for the server to answer that it has seen the end
log = logging.getLogger("titan")


class Pusher:
    """Pushes samples from any number of threads.

    Args:
        channel: to the daemon.
        address: the same in words, for errors.
        stream: what to push, and how far it is.
        connect_seconds: how long the first sample may wait for the daemon; later losses are waited out.
        on_refusal: called from our thread for each refusal, besides keeping it.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        address: str,
        stream: PushStream,
        connect_seconds: float,
        on_refusal: Callable[[Refusal], object] | None,
    ) -> None:
        self.stream = stream
        self.refusals: deque[Refusal] = deque(maxlen=REFUSALS_KEPT)
        self._address = address
        self._connect_seconds = connect_seconds
        self._on_refusal = on_refusal
        self._open_call = channel.stream_stream(METHOD, wire.encode, PushSamplesResponse.FromString)
        self._call: Any = None
        self._connection = 0  # counts up; whoever sends for an older one stops
        self._turn = threading.Lock()  # one push at a time, so that a batch keeps its samples together
        self._lock = threading.Lock()
        self._to_send = threading.Condition(self._lock)  # there is something to send, or reason to stop
        self._settled = threading.Condition(self._lock)  # the stream has moved on
        self._failure: TitanError | None = None
        self._was_open = self._is_ending = self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="titan-push", daemon=True)
        self._thread.start()

    # ---- the app's side --------------------------------------------------------------------------------------

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the daemon has answered once."""
        patience = self._connect_seconds if timeout is None else min(timeout, self._connect_seconds)
        with self._lock:
            if self._was_open and not self._failure and not self._is_closed:
                return
            if self._settled.wait_for(lambda: self._was_open or self._failure or self._is_closed, patience):
                self._check()
                return
        raise why_unreachable(self._address) or no_answer(self._address, patience)

    def push(self, batches: Sequence[Batch], timeout: float | None) -> range:
        """Take samples over, waiting for room, and return their sequences."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._turn, self._lock:
            first = self.stream.last_sequence + 1
            for batch in batches:
                self._push_one(batch, deadline)
            return range(first, self.stream.last_sequence + 1)

    def try_push(self, batch: Batch) -> bool:
        """Take samples over if there is room for all of them now."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            with self._lock:
                self._check()
                if self.stream.room(batch.sample_bytes) < batch.sample_count:
                    return False
                self._add(batch)
                return True
        finally:
            self._turn.release()

    def flush(self, timeout: float | None) -> None:
        """Wait until everything taken so far is settled."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            last = self.stream.flush()
            self._to_send.notify()
            self._wait_settled(lambda: self.stream.acknowledged_sequence >= last, deadline)

    @property
    def totals(self) -> PushTotals:
        """What became of everything so far."""
        with self._lock:
            return self.stream.totals

    def number_of(self, sequence: int) -> int | None:
        """Return the number of an accepted sample."""
        with self._lock:
            return self.stream.number_of(sequence)

    def close(self) -> None:
        """End the stream politely; what is not settled by now is given up."""
        with self._lock:
            self._is_ending = True
            self._to_send.notify_all()
        self._thread.join(HALF_CLOSE_SECONDS)
        with self._lock:
            self._is_closed = True
            call = self._call
            self._to_send.notify_all()
            self._settled.notify_all()
        if call is not None and self._thread.is_alive():
            call.cancel()
            self._thread.join(HALF_CLOSE_SECONDS)

    def _push_one(self, batch: Batch, deadline: float | None) -> None:
        size = batch.sample_bytes
        while batch.sample_count:
            self._wait_settled(lambda: self.stream.room(size) > 0, deadline)
            head, batch = batch.split(min(self.stream.room(size), batch.sample_count))
            self._add(head)

    def _add(self, batch: Batch) -> None:
        now = time.monotonic()
        before = self.stream.due(now)
        self.stream.add(batch, now)
        after = self.stream.due(now)
        if after is not None and (before is None or after < before):
            self._to_send.notify_all()

    def _wait_settled(self, is_so: Callable[[], bool], deadline: float | None) -> None:
        while not is_so():
            self._check()
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(
                    "DEADLINE_EXCEEDED",
                    "TIMED_OUT",
                    f"Not done in time; {self.stream.totals.unacknowledged} samples are unacknowledged.",
                    "The daemon is slow, full or away. They are kept, and sent when it is back.",
                )
            self._settled.wait(left)
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise TitanError("", "CLOSED", "This client is closed.", "Make a new one.")

    # ---- the connection's side -------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._is_closed:
            heard = self._converse()
            with self._lock:
                if heard:
                    pause = FIRST_PAUSE_SECONDS
                if self._failure or self._is_closed or (self._is_ending and not self.stream.totals.unacknowledged):
                    break
                self._to_send.wait_for(lambda: self._is_closed, pause)
            pause = min(2 * pause, LAST_PAUSE_SECONDS)

    def _converse(self) -> bool:
        """Hold one connection until it ends; return whether the daemon said anything."""
        heard = False
        with self._lock:
            self._connection += 1
            messages = self._messages(self._connection)
        try:
            call: Any = self._open_call(messages, wait_for_ready=True)
            with self._lock:
                self._call = call
                if self._is_closed:
                    call.cancel()
            for response in call:
                heard = True
                self._receive(response)
        except grpc.RpcError as error:
            self._judge(from_call(error, self._address))
        except TitanError as error:
            call.cancel()
            self._judge(error)
        finally:
            with self._lock:
                if self.stream.is_open:
                    log.info("connection to %s ended; %s", self._address, self.stream.totals)
                self._connection += 1
                self.stream.disconnect()
                self._to_send.notify_all()
                self._settled.notify_all()
        return heard

    def _messages(self, connection: int) -> Iterator[Opening | Batch]:
        yield self.stream.opening
        while True:
            with self._lock:
                batch = self._next_batch(connection)
            if batch is None:
                return
            yield batch

    def _next_batch(self, connection: int) -> Batch | None:
        """Wait for the next batch to send; None when this connection is over."""
        while connection == self._connection and not self._is_closed:
            now = time.monotonic()
            due = self.stream.due(now)
            if due is not None and due <= now:
                return self.stream.take(now)
            if self._is_ending and not self.stream.totals.unacknowledged:
                return None
            self._to_send.wait(None if due is None else due - now)
        return None

    def _receive(self, response: PushSamplesResponse) -> None:
        with self._lock:
            news = wire.receive(self.stream, response, time.monotonic())
            self._was_open = True
            self.refusals.extend(news)
            self._to_send.notify_all()
            self._settled.notify_all()
        for refusal in news if self._on_refusal else ():
            try:
                self._on_refusal(refusal)  # type: ignore[misc]
            except Exception:
                log.exception("on_refusal failed; pushing goes on")

    def _judge(self, error: TitanError) -> None:
        """Take an error for final unless the daemon may well be back."""
        with self._lock:
            is_passing = error.code in ("UNAVAILABLE", "CANCELLED") or (
                error.reason == "TOO_MANY_STREAMS" and self._was_open  # our own broken one may still be counted
            )
            if not is_passing and not self._is_closed:
                self._failure = error
