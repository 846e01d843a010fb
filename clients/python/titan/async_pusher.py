"""A `PushStream` with an asyncio task and a gRPC stream around it: the sibling of `titan.pusher`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from titan import wire
from titan.address import no_answer, why_unreachable
from titan.batch import Batch, Opening
from titan.errors import TitanError
from titan.refusals import Refusals
from titan.rpc import PUSH_SAMPLES, from_call
from titan.stream import PushStream
from titan.v1.sample_service_pb2 import PushSamplesResponse

HALF_CLOSE_SECONDS = 2.0
log = logging.getLogger("titan")


class AsyncPusher:
    """Pushes samples from any number of tasks of one event loop; see `titan.pusher.Pusher`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        address: str,
        stream: PushStream,
        connect_seconds: float,
        refusals: Refusals,
    ) -> None:
        self.stream = stream
        self.refusals = refusals
        self._address = address
        self._connect_seconds = connect_seconds
        self._open_call: Any = channel.stream_stream(PUSH_SAMPLES, wire.encode, PushSamplesResponse.FromString)
        self._turn = asyncio.Lock()  # one push at a time, so that a batch keeps its samples together
        self._news = asyncio.Event()  # set and replaced whenever the stream has moved on
        self._task = asyncio.create_task(self._run(), name="titan-push")

    # ---- the app's side --------------------------------------------------------------------------------------

    async def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the daemon has answered once."""
        patience = self._connect_seconds if timeout is None else min(timeout, self._connect_seconds)
        if not await self._wait(self.stream.was_open, patience):
            reason = await asyncio.to_thread(why_unreachable, self._address)
            raise reason or self.stream.last_error or no_answer(self._address, patience)

    async def push(self, batches: Sequence[Batch], timeout: float | None) -> range:
        """Take samples over, waiting for room, and return their sequences."""
        deadline = None if timeout is None else time.monotonic() + timeout
        async with self._turn:
            first = self.stream.last_sequence + 1
            for batch in batches:
                await self._push_one(batch, deadline)
            return range(first, self.stream.last_sequence + 1)

    def try_push(self, batch: Batch) -> bool:
        """Take samples over if there is room for all of them now."""
        if self._turn.locked() or not self.stream.was_open():
            return False
        if self.stream.room(batch.sample_bytes) < batch.sample_count:
            return False
        self._add(batch)
        return True

    async def flush(self, timeout: float | None) -> None:
        """Wait until everything taken so far is settled."""
        last = self.stream.flush()
        self._tell()
        if not await self._wait(lambda: self.stream.is_settled(last), timeout):
            raise self.stream.timed_out()

    async def close(self) -> None:
        """End the stream, politely where everything is settled; what is not is given up."""
        self.stream.end()
        self._tell()
        if self.stream.is_open and self.stream.is_done:
            await asyncio.wait([self._task], timeout=HALF_CLOSE_SECONDS)
        self.stream.close()
        self._tell()
        self._task.cancel()
        await asyncio.wait([self._task], timeout=HALF_CLOSE_SECONDS)

    async def _push_one(self, batch: Batch, deadline: float | None) -> None:
        size = batch.sample_bytes
        while batch.sample_count:
            left = None if deadline is None else deadline - time.monotonic()
            if not await self._wait(lambda: self.stream.has_room(size), left):
                raise self.stream.timed_out()
            head, batch = batch.split(min(self.stream.room(size), batch.sample_count))
            self._add(head)

    def _add(self, batch: Batch) -> None:
        now = time.monotonic()
        before = self.stream.due(now)
        self.stream.add(batch, now)
        after = self.stream.due(now)
        if after is not None and (before is None or after < before):
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _wait(self, is_so: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until something is so, at most so long; return whether it is."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not is_so():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            await self._next_news(left)
        return True

    async def _next_news(self, seconds: float | None) -> None:
        """Wait until the stream has moved on, at most so long."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    # ---- the connection's side -------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._keep_connected()
        except BaseException as error:  # whoever waits for us must hear of it
            self.stream.fail_itself(error)
            self._tell()
            raise

    async def _keep_connected(self) -> None:
        while not self.stream.is_done:
            error = await self._converse()
            if self.stream.is_open and not self.stream.is_done:
                log.info("connection to %s lost: %s; %s", self._address, error, self.stream.totals)
            self.stream.disconnect(error)
            self._tell()
            await self._wait(lambda: self.stream.is_done, self.stream.next_pause())

    async def _converse(self) -> TitanError | None:
        """Hold one connection until it ends, and return what ended it."""
        call = self._open_call(wait_for_ready=True)
        writer = asyncio.create_task(self._write(call))
        try:
            async for response in call:
                self._receive(response)
        except grpc.RpcError as error:
            return await asyncio.to_thread(from_call, error, self._address)
        except TitanError as error:
            return error
        finally:
            writer.cancel()
            call.cancel()
            await asyncio.wait([writer])
        return None

    async def _write(self, call: Any) -> None:
        try:
            await call.write(self.stream.opening)
            while (batch := await self._next_batch()) is not None:
                await call.write(batch)
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the reader hears of it too

    async def _next_batch(self) -> Batch | Opening | None:
        """Wait for the next batch to send; None when all is done."""
        while not self.stream.is_done:
            now = time.monotonic()
            due = self.stream.due(now)
            if due is None or due > now:
                await self._next_news(None if due is None else due - now)
                continue
            try:
                return self.stream.take(now)
            except TitanError as error:
                self.stream.fail(error)
                self._tell()
        return None

    def _receive(self, response: PushSamplesResponse) -> None:
        self.refusals.note(wire.receive(self.stream, response, time.monotonic()))
        self._tell()
