"""The client: pushes samples, watches and steers the training, fetches models."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

from titan import calls
from titan.address import Addresses
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

if TYPE_CHECKING:
    from titan.pusher import Pusher

Answer = TypeVar("Answer")

CLOSE_SECONDS = 30.0
log = logging.getLogger("titan")


class Client:
    """A connection to the daemon, for any number of threads.

    Args:
        address: "unix:/path", a bare path, or "host:port"; $TITAND_ADDRESS, else the default socket.
        admin_address: where calls go that change something; "admin.sock" beside the main socket.
        producer: who pushes, for people who read the status: at most 64 characters.
        connect_timeout: seconds that the first push waits for the daemon. Once it has answered, losing it is waited
            out: pushing blocks when there is no room left, and goes on by itself when the daemon is back.
        on_refusal: called for each refusal, from a thread of the client's; what it pushes must not wait (`try_push`).
            They are in `refusals` in any case.

    Example:
        with titan.Client() as client:
            for image, label in camera:
                client.push(image, label)
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
        self._channel = grpc.insecure_channel(self.addresses.main, CHANNEL_OPTIONS)
        self._admin_channel: grpc.Channel | None = None
        self._producer = producer
        self._connect_timeout = connect_timeout
        self._refusals = Refusals(on_refusal)
        self._pusher: Pusher | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close(timeout=0.0)  # what went wrong is to be told now
        except TitanError as left:
            log.warning("closed after an error: %s", left)

    def close(self, timeout: float | None = CLOSE_SECONDS) -> None:
        """Wait for what is under way, then end the connection.

        Raises:
            TimedOut: some samples were not settled in time. They are given up; the error says how many.
        """
        with self._lock:
            self._is_closed = True
        pusher = self._pusher
        try:
            if pusher is not None:
                pusher.flush(timeout)
        except TimedOut as error:
            raise error.given_up() from None
        finally:
            if pusher is not None:
                pusher.close()
            self._channel.close()
            if self._admin_channel is not None:
                self._admin_channel.close()

    # ---- pushing ---------------------------------------------------------------------------------------------

    def push(
        self,
        x: Any,
        label: int | None = None,
        *,
        observe_time: datetime | float | None = None,
        timeout: float | None = None,
    ) -> int:
        """Push one sample, and return its place in this client's sequence, from 1.

        It returns as soon as the sample is on its way; several travel together. It blocks when the daemon is behind.

        Args:
            x: the sample: anything with the buffer protocol or `__array_interface__` (a numpy array), in the model's
                type and shape; or bytes, which are taken to be just that.
            label: its class id; None if that comes later, see `label`.
            observe_time: when it was observed: a datetime with a time zone, or seconds since the Unix epoch.
            timeout: seconds to wait for room; None for as long as it takes.

        Raises:
            InvalidSample: it cannot be put on the wire. What merely does not suit the model is for the daemon to
                judge, and comes back as a refusal.
            Unreachable: the daemon has not answered yet, and does not.
            TimedOut: there was no room in time; the sample was not taken.
        """
        pusher = self._opened(timeout)
        return pusher.push([pusher.stream.sample(x, label, observe_time)], timeout)[0]

    def try_push(self, x: Any, label: int | None = None, *, observe_time: datetime | float | None = None) -> bool:
        """Push one sample if that takes no waiting; return whether it was taken.

        Raises:
            InvalidSample: it cannot be put on the wire.
        """
        pusher = self._started()
        return pusher.try_push(pusher.stream.sample(x, label, observe_time))

    def push_batch(
        self,
        xs: Any,
        labels: Any = None,
        *,
        observe_times: Iterable[datetime | float] | None = None,
        timeout: float | None = None,
    ) -> range:
        """Push samples, cut into messages of a good size, and return their places in this client's sequence.

        Args:
            xs: one array of shape [N, ...], or a list of N arrays.
            labels: [N] class ids, None for those that come later; or None for all.
            observe_times: [N] when they were observed.
            timeout: seconds to wait for room; None for as long as it takes.

        Raises:
            InvalidSample: they cannot be put on the wire, or are not as many as their labels.
            TimedOut: there was no room in time; `totals` tells how many were taken.
        """
        pusher = self._opened(timeout)
        return pusher.push(pusher.stream.samples(xs, labels, observe_times), timeout)

    def flush(self, timeout: float | None = None) -> PushTotals:
        """Wait until everything pushed so far is accepted, rejected or shed, and return the totals.

        Raises:
            TimedOut: not in time; it goes on being sent.
        """
        if self._pusher is not None:
            self._pusher.flush(timeout)
        return self.totals

    @property
    def totals(self) -> PushTotals:
        """What became of everything pushed so far."""
        return self._pusher.totals if self._pusher is not None else PushTotals()

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The newest refusals; `totals` counts them all."""
        return self._refusals.newest()

    def number_of(self, sequence: int) -> int | None:
        """Return the number of an accepted sample, for `sample` and `label`; None if not accepted, or too long ago."""
        return self._pusher.number_of(sequence) if self._pusher is not None else None

    def label(self, numbers: Iterable[int], labels: Iterable[int]) -> list[str]:
        """Label samples that were pushed without a label, or correct labels; return what became of each.

        Args:
            numbers: [N] of the samples; `number_of` tells them once the samples are accepted.
            labels: [N] their class ids.

        Returns:
            [N] "joined", "corrected", "unchanged", "too_late", "unknown" or "rejected"; or "unanswered": a correction
            that the daemon was too busy for, and that may be sent again.

        Raises:
            InvalidSample: they cannot be put on the wire, or are not as many as their labels; none was sent.
        """
        return [outcome for call in calls.label(numbers, labels) for outcome in self._ask(call)]

    def input(self, timeout: float | None = None) -> tuple[TensorSpec, tuple[str, ...]]:
        """Return what a sample must look like, and the class names that labels are indices of."""
        stream = self._opened(timeout).stream
        return cast(TensorSpec, stream.input_spec), stream.labels

    # ---- training --------------------------------------------------------------------------------------------

    def training(self) -> Training:
        """Return the training as it is now."""
        return self._ask(calls.training())

    def watch_training(self) -> Iterator[Training]:
        """Yield the training: now, and then whenever a round has ended."""
        return self._listen(calls.watch_training())

    def pause(self, note: str = "") -> Training:
        """Pause after the round in flight; samples are still taken in."""
        return self._ask(calls.pause(note))

    def resume(self) -> Training:
        """Go on with the training."""
        return self._ask(calls.resume())

    def rollback(self, snapshot: str = "best", note: str = "") -> Rollback:
        """Let the next round begin from the parameters of a snapshot: "best", "latest", a round number, a full name."""
        return self._ask(calls.rollback(snapshot, note))

    def sample(self, number: int) -> Sample:
        """Return one sample's fate; `number_of` tells its number."""
        return self._ask(calls.sample(number))

    def suspects(self, most: int = 0) -> list[SuspectSample]:
        """Return samples whose labels look wrong, the most suspicious first; 0 means all that are kept."""
        return self._ask(calls.suspects(most))

    # ---- snapshots -------------------------------------------------------------------------------------------

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots, newest first."""
        found, token = self._ask(calls.snapshots(""))
        while token:
            page, token = self._ask(calls.snapshots(token))
            found += page
        return found

    def snapshot(self, name: str = "latest") -> Snapshot:
        """Return one snapshot: "latest", "best", a round number, or a full name."""
        return self._ask(calls.snapshot(name))

    def create_snapshot(self, note: str = "") -> Snapshot:
        """Snapshot the parameters of the last completed round; returns once that is durable."""
        return self._ask(calls.create_snapshot(note))

    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot and its exports."""
        self._ask(calls.delete_snapshot(name))

    def export_model(
        self, path: str | os.PathLike[str], snapshot: str = "latest", format: str = "safetensors"
    ) -> Export:
        """Fetch a model file, verified, whole or not at all. An interrupted one goes on where it ended.

        Args:
            path: where to put it.
            snapshot: "latest", a round number, or a full name.
            format: "safetensors" or "pt2".

        Raises:
            CorruptFile: what came is not what the daemon has.
        """
        from titan.download import Download

        found = self.snapshot(snapshot)
        if not found.has_file(format):
            found = self._ask(calls.export_model(found.name, format))
        with Download(path, found, format) as download:
            for piece in self._listen(calls.download(found.name, format, download.offset_bytes)):
                download.write(piece)
            return download.finish()

    # ---- telemetry -------------------------------------------------------------------------------------------

    def telemetry(self) -> Telemetry:
        """Return the newest reading of the board."""
        return self._ask(calls.telemetry())

    def watch_telemetry(self) -> Iterator[Telemetry]:
        """Yield readings as they are made."""
        return self._listen(calls.watch_telemetry())

    # ---- carrying calls out ----------------------------------------------------------------------------------

    def _ask(self, call: calls.Call[Answer]) -> Answer:
        channel, address = self._way(call)
        method = channel.unary_unary(call.method, type(call.request).SerializeToString, call.response.FromString)
        deadline = time.monotonic() + (call.timeout_seconds or 0.0)
        while True:
            try:
                return call.read(method(call.request, timeout=call.timeout_seconds))
            except grpc.RpcError as error:
                said = from_call(error, address, call.timeout_seconds)
            if said.reason != NOT_YET or time.monotonic() > deadline:
                raise said
            time.sleep(AGAIN_SECONDS)

    def _listen(self, call: calls.Call[Answer]) -> Iterator[Answer]:
        channel, address = self._way(call)
        method = channel.unary_stream(call.method, type(call.request).SerializeToString, call.response.FromString)
        responses: Any = method(call.request)
        try:
            for response in responses:
                yield call.read(response)
        except grpc.RpcError as error:
            raise from_call(error, address) from None
        finally:
            responses.cancel()

    def _way(self, call: calls.Call[Any]) -> tuple[grpc.Channel, str]:
        if not call.is_admin or self.addresses.admin == self.addresses.main:
            return self._channel, self.addresses.main
        with self._lock:
            if self._admin_channel is None:
                self._admin_channel = grpc.insecure_channel(self.addresses.admin, CHANNEL_OPTIONS)
            return self._admin_channel, self.addresses.admin

    def _started(self) -> Pusher:
        with self._lock:
            if self._is_closed:
                raise TitanError("", "CLOSED", "This client is closed.", "Make a new one.")
            if self._pusher is None:
                from titan.pusher import Pusher  # watching and steering do without
                from titan.stream import new_stream

                stream = new_stream(self._producer)
                self._pusher = Pusher(self._channel, self.addresses.main, stream, self._connect_timeout, self._refusals)
            return self._pusher

    def _opened(self, timeout: float | None) -> Pusher:
        pusher = self._started()
        pusher.wait_open(timeout)
        return pusher
