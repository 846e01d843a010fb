"""Open streams: which there are, where each stands, and that they never leave too few threads for short calls.

The server is synchronous: a call holds a thread as long as it lives. So the calls that live long are counted from their
first moment, and refused past a limit that leaves threads for the others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from titand.clock import Clock
from titand.errors import InvalidRequest, Overloaded, TakenOver, TitanError, WorkerDown
from titand.front.push_stream import PushStream
from titand.runtime.ledger import Ledger

LONG_CALLS = 8  # watches (of health too), downloads, exports and reflection, at once
NAME_BYTES = 64  # of a stream id or a producer


class Streams:
    """All open streams and other long calls. Thread-safe.

    Args:
        ledger: keeps where each stream stands.
        most_pushes: push streams at once.
        flush_samples: see `PushStream`.
        clock: stamps openings.
    """

    def __init__(self, ledger: Ledger, most_pushes: int, flush_samples: int, clock: Clock) -> None:
        self._ledger = ledger
        self._most_pushes = most_pushes
        self._flush_samples = flush_samples
        self._clock = clock
        self._lock = threading.Lock()
        self._pushes = 0
        self._open: dict[int, PushStream] = {}
        self._leaving: set[threading.Event] = set()
        self._stopped: TitanError | None = None

    @property
    def push_count(self) -> int:
        """Push calls that are being served, opened or not."""
        return self._pushes

    @property
    def long_count(self) -> int:
        """Other long calls that are being served."""
        return len(self._leaving)

    @contextmanager
    def push_call(self) -> Iterator[None]:
        """Count a push stream from before its first message.

        Raises:
            Overloaded: TOO_MANY_STREAMS.
            WorkerDown: DAEMON_STOPPING.
        """
        with self._lock:
            self._require_running()
            if self._pushes >= self._most_pushes:
                raise Overloaded(
                    "TOO_MANY_STREAMS",
                    f"{self._pushes} push streams are open, the most that are served.",
                    "Close one, push several producers' samples over one stream, or raise ingest.max_streams.",
                    {"limit": str(self._most_pushes)},
                )
            self._pushes += 1
        try:
            yield
        finally:
            with self._lock:
                self._pushes -= 1

    @contextmanager
    def long_call(self, context: grpc.ServicerContext) -> Iterator[threading.Event]:
        """Count another call that takes long; the event says that its client has left, or that the daemon stops.

        Raises:
            Overloaded: TOO_MANY_STREAMS.
            WorkerDown: DAEMON_STOPPING.
        """
        leaving = threading.Event()
        with self._lock:
            self._require_running()
            if len(self._leaving) >= LONG_CALLS:
                raise Overloaded(
                    "TOO_MANY_STREAMS",
                    f"{LONG_CALLS} watches, downloads and exports are open, the most that are served.",
                    "Close one, or try again later.",
                    {"limit": str(LONG_CALLS)},
                )
            self._leaving.add(leaving)
        try:
            if not context.add_callback(leaving.set):
                leaving.set()
            yield leaving
        finally:
            with self._lock:
                self._leaving.discard(leaving)

    def open(self, stream_id: str, producer: str) -> PushStream:
        """Open a push stream where it stood; an older connection of the same id ends.

        Raises:
            InvalidRequest: NAME_INVALID.
            Overloaded: TOO_MANY_STREAMS.
        """
        for what, name in (("stream_id", stream_id), ("producer", producer)):
            if len(name.encode()) > NAME_BYTES or not name.isprintable():
                raise InvalidRequest(
                    "NAME_INVALID",
                    f"The {what} {name[:80]!r} is not up to {NAME_BYTES} printable bytes.",
                    "Shorten it, and use letters, digits and dashes.",
                )
        with self._lock:
            self._require_running()
            for other in self._open.values():
                if stream_id and other.stream_id == stream_id:
                    other.end(_taken_over(stream_id))
                    del self._open[other.place]
                    break
            try:
                place, position = self._ledger.open_stream(stream_id, frozenset(self._open))
            except LookupError as error:
                raise Overloaded("TOO_MANY_STREAMS", "All places of streams are in use.", "Close one.") from error
            stream = PushStream(place, stream_id, producer, position, self._clock.wall_ns(), self._flush_samples)
            self._open[place] = stream
        return stream

    def close(self, stream: PushStream) -> None:
        """Let go of a stream; where it stood stays known."""
        stream.end()
        with self._lock:
            if self._open.get(stream.place) is stream:
                del self._open[stream.place]

    def stop(self) -> None:
        """End every stream and long call, and refuse new ones. What was settled is still acknowledged."""
        with self._lock:
            self._stopped = WorkerDown(
                "DAEMON_STOPPING", "The daemon is going down.", "Connect again and go on where the stream stood."
            )
            for stream in self._open.values():
                stream.end(self._stopped)
            for leaving in self._leaving:
                leaving.set()

    def require_running(self) -> None:
        """Raise WorkerDown when the daemon stops."""
        with self._lock:
            self._require_running()

    def to_plain(self) -> list[dict[str, Any]]:
        """Return what the status shows of the open push streams."""
        with self._lock:
            return [stream.to_plain() for stream in self._open.values()]

    def _require_running(self) -> None:
        if self._stopped is not None:
            raise self._stopped


def _taken_over(stream_id: str) -> TakenOver:
    return TakenOver(
        "STREAM_TAKEN_OVER",
        f"A newer connection has opened stream {stream_id!r}.",
        "Give each producer a stream id of its own.",
        {"stream_id": stream_id},
    )
