"""The contract's second implementation: a server of titan.v1 that can be told to misbehave.

It shares nothing with the client but the generated messages. What it accepted it keeps, in order, so that a test can
compare that with what was pushed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from titan.v1 import (
    error_pb2,
    sample_service_pb2,
    snapshot_service_pb2,
    telemetry_service_pb2,
    tensor_pb2,
    training_service_pb2,
)
from titan.v1.sample_service_pb2 import (
    AcceptedRun,
    Acknowledgement,
    PushSamplesRequest,
    PushSamplesResponse,
    Refusal,
    StreamOpened,
)

SPEC = tensor_pb2.TensorSpec(data_type=tensor_pb2.TensorSpec.DATA_TYPE_UINT8, shape=[4])
PAUSE_SECONDS = 0.005
LABELS = ("cat", "dog", "eel")


@dataclass
class Script:
    """How the server behaves.

    Attributes:
        credit: samples under way.
        max_message_bytes: the largest message it takes.
        drops: for each connection in turn, after how many batches it breaks off, and whether those are acknowledged
            before; None or the end of the list: it does not.
        verdict: of each sample, by its sequence: "accept", "reject" or "shed".
        acknowledge_every: batches per acknowledgement.
        backoff_seconds: asked for in every acknowledgement.
        forgets: whether a broken stream starts from nothing, as after a restart of the daemon.
        refuse: aborts the opening of a stream, while it is there.
        gate: batches are read only while it is set.
    """

    credit: int = 1000
    max_message_bytes: int = 1 << 20
    drops: list[tuple[int, bool] | None] = field(default_factory=list)
    verdict: Callable[[int], str] = lambda sequence: "accept"
    acknowledge_every: int = 1
    backoff_seconds: float = 0.0
    forgets: bool = False
    refuse: Callable[[grpc.ServicerContext], None] | None = None
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()


@dataclass
class Stream:
    """What the server knows of one stream."""

    acknowledged: int = 0  # settled, by our books


@dataclass(frozen=True)
class Kept:
    """An accepted sample."""

    stream_id: str
    sequence: int
    number: int
    label: int
    time_ns: int | None
    data: bytes


def abort(context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, message: str, **facts: str) -> None:
    """End a call with an error as titand states them."""
    status = error_pb2.RpcStatus(code=code.value[0], message=message)
    info = error_pb2.ErrorInfo(reason=reason, domain="titand", metadata=facts)
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


class ReferenceServer:
    """Serves `PushSamples` as the proto says, and of the other methods those that a test puts into `answers`.

    An answer is a function of the request and the context, under the method's short name; it returns a response, or
    yields several. Every request is kept in `calls`.
    """

    def __init__(self, path: str, script: Script | None = None) -> None:
        self.address = f"unix:{path}"
        self.script = script or Script()
        self.kept: list[Kept] = []
        self.most_under_way = 0
        self.largest_message = 0
        self.batch_sizes: list[int] = []
        self.openings: list[sample_service_pb2.StreamOpen] = []
        self.answers: dict[str, Callable[..., Any]] = {}
        self.calls: list[tuple[str, Any]] = []
        self._streams: dict[str, Stream] = {}
        self._lock = threading.Lock()
        self._server: grpc.Server
        self.start()

    def start(self) -> None:
        """Listen."""
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 8 << 20)]
        )
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        assert self._server.add_insecure_port(self.address)
        self._server.start()

    def stop(self) -> None:
        """Break all connections off and stop listening."""
        self._server.stop(None).wait()

    def __enter__(self) -> ReferenceServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.script.gate.set()
        self.stop()

    def push_samples(
        self, requests: Iterator[PushSamplesRequest], context: grpc.ServicerContext
    ) -> Iterator[PushSamplesResponse]:
        """One connection of a producer."""
        script = self.script
        opening = next(requests).open
        if script.refuse is not None:
            script.refuse(context)
        with self._lock:
            self.openings.append(opening)
            drop = script.drops.pop(0) if script.drops else None
            if script.forgets:
                self._streams.pop(opening.stream_id, None)
            stream = self._streams.setdefault(opening.stream_id, Stream())
        yield PushSamplesResponse(
            opened=StreamOpened(
                acknowledged_sequence=stream.acknowledged,
                input_spec=SPEC,
                labels=LABELS,
                max_message_bytes=script.max_message_bytes,
                credit=script.credit,
            )
        )
        runs: list[AcceptedRun] = []
        refusals: list[Refusal] = []
        told = stream.acknowledged
        batches = 0
        for request in _with_pauses(requests):
            while not script.gate.wait(0.01):
                if not context.is_active():
                    return
            if request is not None:
                assert request.WhichOneof("part") == "batch"
                self.largest_message = max(self.largest_message, request.ByteSize())
                self._settle(opening.stream_id, stream, request.batch, runs, refusals)
                self.most_under_way = max(self.most_under_way, stream.acknowledged - told)
                batches += 1
            is_last = drop is not None and batches >= drop[0]
            is_time = request is None or batches % script.acknowledge_every == 0
            if told < stream.acknowledged and (drop[1] if is_last and drop else is_time):
                yield self._acknowledgement(stream, runs, refusals)
                told = stream.acknowledged
            if is_last:
                context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
        if told < stream.acknowledged:
            yield self._acknowledgement(stream, runs, refusals)

    def _settle(
        self,
        stream_id: str,
        stream: Stream,
        batch: sample_service_pb2.SampleBatch,
        runs: list[AcceptedRun],
        refusals: list[Refusal],
    ) -> None:
        size = len(batch.data) // len(batch.labels)
        self.batch_sizes.append(len(batch.labels))
        for index, label in enumerate(batch.labels):
            sequence = batch.first_sequence + index
            if sequence <= stream.acknowledged:
                continue  # a duplicate
            stream.acknowledged = sequence
            verdict = self.script.verdict(sequence)
            if verdict != "accept":
                kind = Refusal.KIND_SHED if verdict == "shed" else Refusal.KIND_REJECTED
                refusals.append(
                    Refusal(first_sequence=sequence, count=1, kind=kind, reason=verdict.upper(), message="no")
                )
                continue
            with self._lock:
                number = len(self.kept) + 1
                data = batch.data[index * size : (index + 1) * size]
                time = batch.observe_times_ns[index] if batch.observe_times_ns else None
                self.kept.append(Kept(stream_id, sequence, number, label, time, data))
            runs.append(AcceptedRun(first_sequence=sequence, first_number=number, count=1))

    def _acknowledgement(self, stream: Stream, runs: list[AcceptedRun], refusals: list[Refusal]) -> PushSamplesResponse:
        said = Acknowledgement(
            acknowledged_sequence=stream.acknowledged, accepted=runs, refusals=refusals, credit=self.script.credit
        )
        if self.script.backoff_seconds:
            said.backoff_duration.FromNanoseconds(int(self.script.backoff_seconds * 1e9))
        runs.clear()
        refusals.clear()
        return PushSamplesResponse(acknowledgement=said)


def _with_pauses(requests: Iterator[PushSamplesRequest]) -> Iterator[PushSamplesRequest | None]:
    """Yield requests as they come, and None when none has come for a while."""
    arrived: queue.SimpleQueue[PushSamplesRequest | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for request in requests:
                arrived.put(request)
        except Exception:  # the connection is gone
            pass
        arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            request = arrived.get(timeout=PAUSE_SECONDS)
        except queue.Empty:
            yield None
            continue
        if request is None:
            return
        yield request


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, server: ReferenceServer) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.rpartition("/")[2]
        if details.method == "/titan.v1.SampleService/PushSamples":
            return grpc.stream_stream_rpc_method_handler(
                self._server.push_samples, PushSamplesRequest.FromString, PushSamplesResponse.SerializeToString
            )
        if name not in self._server.answers:
            return None
        method = METHODS[details.method]

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self._server.calls.append((name, request))
            return self._server.answers[name](request, context)

        read, write = (
            GetMessageClass(method.input_type).FromString,
            GetMessageClass(method.output_type).SerializeToString,
        )
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(answer, read, write)
        return grpc.unary_unary_rpc_method_handler(answer, read, write)


METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in (sample_service_pb2, training_service_pb2, snapshot_service_pb2, telemetry_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
