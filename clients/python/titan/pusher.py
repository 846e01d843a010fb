"""A `PushStream` with a thread and a gRPC stream around it.

gRPC's own thread asks `_messages` for what to send; ours reads the answers, and opens the stream again whenever it
breaks. Both and the app meet under one lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from titan import wire
from titan.address import no_answer, why_unreachable
from titan.batch import Batch, Opening
from titan.errors import TitanError
from titan.records import PushTotals
from titan.refusals import Refusals
from titan.rpc import PUSH_SAMPLES, from_call
from titan.stream import PushStream
from titan.v1.sample_service_pb2 import PushSamplesResponse

HALF_CLOSE_SECONDS = 2.0  # for the server to answer that it has seen the end
log = logging.getLogger("titan")


class Pusher:
    """Pushes samples from any number of threads.

    Args:
        channel: to the daemon.
        address: the same in words, for errors.
        stream: what to push, and how far it is.
        connect_seconds: how long the first sample may wait for the daemon; later losses are waited out.
        refusals: told of each refusal, from our thread.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        address: str,
        stream: PushStream,
        connect_seconds: float,
        refusals: Refusals,
    ) -> None:
        self.stream = stream
        self.refusals = refusals
        self._address = address
        self._connect_seconds = connect_seconds
        self._open_call = channel.stream_stream(PUSH_SAMPLES, wire.encode, PushSamplesResponse.FromString)
        self._call: Any = None
        self._told_sequence = 0  # every refusal up to it has reached the app
        self._connection = 0  # counts up; whoever sends for an older one stops
        self._turn = threading.Lock()  # one push at a time, so that a batch keeps its samples together
        self._lock = threading.Lock()
        self._to_send = threading.Condition(self._lock)  # there is something to send, or reason to stop
        self._settled = threading.Condition(self._lock)  # the stream has moved on
        self._thread = threading.Thread(target=self._run, name="titan-push", daemon=True)
        self._thread.start()

    # ---- the app's side --------------------------------------------------------------------------------------

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the daemon has answered once."""
        patience = self._connect_seconds if timeout is None else min(timeout, self._connect_seconds)
        with self._lock:
            if self._settled.wait_for(self.stream.was_open, patience):
                return
        raise why_unreachable(self._address) or self.stream.last_error or no_answer(self._address, patience)

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
                if not self.stream.was_open() or self.stream.room(batch.sample_bytes) < batch.sample_count:
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
            self._to_send.notify_all()
            self._wait(lambda: self._is_told(last), deadline)

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
        """End the stream, politely where everything is settled; what is not is given up."""
        with self._lock:
            self.stream.end()
            self._to_send.notify_all()
            patience = HALF_CLOSE_SECONDS if self.stream.is_open and self.stream.is_done else 0.0
        self._thread.join(patience)
        with self._lock:
            self.stream.close()
            self._to_send.notify_all()
            self._settled.notify_all()
            call = self._call
        if call is not None:
            call.cancel()
        self._thread.join(HALF_CLOSE_SECONDS)

    def _push_one(self, batch: Batch, deadline: float | None) -> None:
        size = batch.sample_bytes
        while batch.sample_count:
            self._wait(lambda: self.stream.has_room(size), deadline)
            head, batch = batch.split(min(self.stream.room(size), batch.sample_count))
            self._add(head)

    def _add(self, batch: Batch) -> None:
        now = time.monotonic()
        before = self.stream.due(now)
        self.stream.add(batch, now)
        after = self.stream.due(now)
        if after is not None and (before is None or after < before):
            self._to_send.notify_all()

    def _is_told(self, sequence: int) -> bool:
        """Whether everything up to this sequence is settled, and the app has heard of its refusals."""
        if self._told_sequence < sequence:
            self.stream.raise_failure()
        return self._told_sequence >= sequence

    def _wait(self, is_so: Callable[[], bool], deadline: float | None) -> None:
        if not self._settled.wait_for(is_so, None if deadline is None else deadline - time.monotonic()):
            raise self.stream.timed_out()

    # ---- the connection's side -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._keep_connected()
        except BaseException as error:  # whoever waits for us must hear of it
            log.exception("pushing to %s broke", self._address)
            with self._lock:
                self.stream.fail_itself(error)
                self._to_send.notify_all()
                self._settled.notify_all()

    def _keep_connected(self) -> None:
        while not self.stream.is_done:
            error = self._converse()
            with self._lock:
                self._connection += 1
                if self.stream.is_open and not self.stream.is_done:
                    log.info("connection to %s lost: %s; %s", self._address, error, self.stream.totals)
                self.stream.disconnect(error)
                self._to_send.notify_all()
                self._settled.notify_all()
                self._to_send.wait_for(lambda: self.stream.is_done, self.stream.next_pause())

    def _converse(self) -> TitanError | None:
        """Hold one connection until it ends, and return what ended it."""
        call: Any = self._open_call(self._messages(self._connection), wait_for_ready=True)
        with self._lock:
            self._call = call
            if self.stream.is_done:  # closed since we looked
                call.cancel()
        try:
            for response in call:
                self._receive(response)
        except grpc.RpcError as error:
            return from_call(error, self._address)
        except TitanError as error:
            call.cancel()
            return error
        return None

    def _messages(self, connection: int) -> Iterator[Opening | Batch]:
        yield self.stream.opening
        while True:
            with self._lock:
                batch = self._next_batch(connection)
            if batch is None:
                return
            yield batch

    def _next_batch(self, connection: int) -> Batch | None:
        """Wait for the next batch to send; None when this connection is over, or all is done."""
        while connection == self._connection and not self.stream.is_done:
            now = time.monotonic()
            due = self.stream.due(now)
            if due is None or due > now:
                self._to_send.wait(None if due is None else due - now)
                continue
            try:
                return self.stream.take(now)
            except TitanError as error:
                self.stream.fail(error)
                self._settled.notify_all()
        return None

    def _receive(self, response: PushSamplesResponse) -> None:
        with self._lock:
            news = wire.receive(self.stream, response, time.monotonic())
            settled = self.stream.acknowledged_sequence
            self._to_send.notify_all()
        self.refusals.note(news)  # without the lock: a listener may ask the client something
        with self._lock:
            self._told_sequence = settled
            self._settled.notify_all()
