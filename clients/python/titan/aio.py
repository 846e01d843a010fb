"""The client for asyncio: the verbs of `titan.Client`, awaited."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

from titan import calls
from titan.address import Addresses
from titan.async_pusher import AsyncPusher
from titan.client import CLOSE_SECONDS, log
from titan.errors import TimedOut, TitanError
from titan.records import (
    Export,
    PushTotals,
    Refusal,
    Rollback,
    Sample,
    Snapshot,
    SuspectSample,
    Telemetry,
    TensorSpec,
    Training,
)
from titan.refusals import Refusals
from titan.rpc import AGAIN_SECONDS, CHANNEL_OPTIONS, NOT_YET, from_call
from titan.stream import new_stream

Answer = TypeVar("Answer")


class AsyncClient:
    """A connection to the daemon, for the tasks of one event loop. Arguments and errors are those of `titan.Client`.

    Example:
        async with titan.AsyncClient() as client:
            await client.push(image, label)
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        admin_address: str | None = None,
        producer: str | None = None,
        connect_timeout: float = 10.0,
        on_refusal: Callable[[Refusal], object] | None = None,
    ) -> None:
        self.addresses = Addresses.given(address, admin_address)
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._producer = producer
        self._connect_timeout = connect_timeout
        self._refusals = Refusals(on_refusal)
        self._pusher: AsyncPusher | None = None
        self._is_closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close(timeout=0.0)
        except TitanError as left:
            log.warning("closed after an error: %s", left)

    async def close(self, timeout: float | None = CLOSE_SECONDS) -> None:
        """Wait for what is under way, then end the connection."""
        self._is_closed = True
        pusher = self._pusher
        try:
            if pusher is not None:
                await pusher.flush(timeout)
        except TimedOut as error:
            raise error.given_up() from None
        finally:
            if pusher is not None:
                await pusher.close()
            for channel in self._channels.values():
                await channel.close(None)

    # ---- pushing ---------------------------------------------------------------------------------------------

    async def push(
        self,
        x: Any,
        label: int | None = None,
        *,
        observe_time: datetime | float | None = None,
        timeout: float | None = None,
    ) -> int:
        """Push one sample, and return its place in this client's sequence, from 1."""
        pusher = await self._opened(timeout)
        taken = await pusher.push([pusher.stream.sample(x, label, observe_time)], timeout)
        return taken[0]

    def try_push(self, x: Any, label: int | None = None, *, observe_time: datetime | float | None = None) -> bool:
        """Push one sample if that takes no waiting; return whether it was taken."""
        pusher = self._started()
        return pusher.try_push(pusher.stream.sample(x, label, observe_time))

    async def push_batch(
        self,
        xs: Any,
        labels: Any = None,
        *,
        observe_times: Iterable[datetime | float] | None = None,
        timeout: float | None = None,
    ) -> range:
        """Push samples, and return their places in this client's sequence."""
        pusher = await self._opened(timeout)
        return await pusher.push(pusher.stream.samples(xs, labels, observe_times), timeout)

    async def flush(self, timeout: float | None = None) -> PushTotals:
        """Wait until everything pushed so far is accepted, rejected or shed, and return the totals."""
        if self._pusher is not None:
            await self._pusher.flush(timeout)
        return self.totals

    @property
    def totals(self) -> PushTotals:
        """What became of everything pushed so far."""
        return self._pusher.stream.totals if self._pusher is not None else PushTotals()

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The newest refusals; `totals` counts them all."""
        return self._refusals.newest()

    def number_of(self, sequence: int) -> int | None:
        """Return the number of an accepted sample; None if it is not accepted, or too long ago."""
        return self._pusher.stream.number_of(sequence) if self._pusher is not None else None

    async def label(self, numbers: Iterable[int], labels: Iterable[int]) -> list[str]:
        """Label samples that were pushed without a label, or correct labels; return what became of each."""
        return [outcome for call in calls.label(numbers, labels) for outcome in await self._ask(call)]

    async def input(self, timeout: float | None = None) -> tuple[TensorSpec, tuple[str, ...]]:
        """Return what a sample must look like, and the class names that labels are indices of."""
        stream = (await self._opened(timeout)).stream
        return cast(TensorSpec, stream.input_spec), stream.labels

    # ---- training --------------------------------------------------------------------------------------------

    async def training(self) -> Training:
        """Return the training as it is now."""
        return await self._ask(calls.training())

    def watch_training(self) -> AsyncIterator[Training]:
        """Yield the training: now, and then whenever a round has ended."""
        return self._listen(calls.watch_training())

    async def pause(self, note: str = "") -> Training:
        """Pause after the round in flight; samples are still taken in."""
        return await self._ask(calls.pause(note))

    async def resume(self) -> Training:
        """Go on with the training."""
        return await self._ask(calls.resume())

    async def rollback(self, snapshot: str = "best", note: str = "") -> Rollback:
        """Let the next round begin from the parameters of a snapshot: "best", "latest", a round number, a full name."""
        return await self._ask(calls.rollback(snapshot, note))

    async def sample(self, number: int) -> Sample:
        """Return one sample's fate; `number_of` tells its number."""
        return await self._ask(calls.sample(number))

    async def suspects(self, most: int = 0) -> list[SuspectSample]:
        """Return samples whose labels look wrong, the most suspicious first; 0 means all that are kept."""
        return await self._ask(calls.suspects(most))

    # ---- snapshots -------------------------------------------------------------------------------------------

    async def snapshots(self) -> list[Snapshot]:
        """Return all snapshots, newest first."""
        found, token = await self._ask(calls.snapshots(""))
        while token:
            page, token = await self._ask(calls.snapshots(token))
            found += page
        return found

    async def snapshot(self, name: str = "latest") -> Snapshot:
        """Return one snapshot: "latest", "best", a round number, or a full name."""
        return await self._ask(calls.snapshot(name))

    async def create_snapshot(self, note: str = "") -> Snapshot:
        """Snapshot the parameters of the last completed round; returns once that is durable."""
        return await self._ask(calls.create_snapshot(note))

    async def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot and its exports."""
        await self._ask(calls.delete_snapshot(name))

    async def export_model(
        self, path: str | os.PathLike[str], snapshot: str = "latest", format: str = "safetensors"
    ) -> Export:
        """Fetch a model file, verified, whole or not at all. An interrupted one goes on where it ended."""
        from titan.download import Download

        found = await self.snapshot(snapshot)
        if not found.has_file(format):
            found = await self._ask(calls.export_model(found.name, format))
        with Download(path, found, format) as download:
            async for piece in self._listen(calls.download(found.name, format, download.offset_bytes)):
                download.write(piece)
            return download.finish()

    # ---- telemetry -------------------------------------------------------------------------------------------

    async def telemetry(self) -> Telemetry:
        """Return the newest reading of the board."""
        return await self._ask(calls.telemetry())

    def watch_telemetry(self) -> AsyncIterator[Telemetry]:
        """Yield readings as they are made."""
        return self._listen(calls.watch_telemetry())

    # ---- carrying calls out ----------------------------------------------------------------------------------

    async def _ask(self, call: calls.Call[Answer]) -> Answer:
        address = self._address_for(call)
        method: Any = self._channel(address).unary_unary(
            call.method, type(call.request).SerializeToString, call.response.FromString
        )
        deadline = time.monotonic() + (call.timeout_seconds or 0.0)
        while True:
            try:
                return call.read(await method(call.request, timeout=call.timeout_seconds))
            except grpc.RpcError as error:
                said = from_call(error, address, call.timeout_seconds)
            if said.reason != NOT_YET or time.monotonic() > deadline:
                raise said
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self, call: calls.Call[Answer]) -> AsyncIterator[Answer]:
        address = self._address_for(call)
        method: Any = self._channel(address).unary_stream(
            call.method, type(call.request).SerializeToString, call.response.FromString
        )
        responses = method(call.request)
        try:
            async for response in responses:
                yield call.read(response)
        except grpc.RpcError as error:
            raise from_call(error, address) from None
        finally:
            responses.cancel()

    def _address_for(self, call: calls.Call[Any]) -> str:
        return self.addresses.admin if call.is_admin else self.addresses.main

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
        return self._channels[address]

    def _started(self) -> AsyncPusher:
        if self._is_closed:
            raise TitanError("", "CLOSED", "This client is closed.", "Make a new one.")
        if self._pusher is None:
            address = self.addresses.main
            self._pusher = AsyncPusher(
                self._channel(address), address, new_stream(self._producer), self._connect_timeout, self._refusals
            )
        return self._pusher

    async def _opened(self, timeout: float | None) -> AsyncPusher:
        pusher = self._started()
        await pusher.wait_open(timeout)
        return pusher
