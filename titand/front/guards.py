"""What a call must pass before its service sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from titand.errors import InvalidRequest, NotPermitted, Overloaded, WorkerDown
from titand.front.streams import Streams

ADMIN_METHODS = frozenset(
    {
        "/titan.v1.TrainingService/PauseTraining",
        "/titan.v1.TrainingService/ResumeTraining",
        "/titan.v1.TrainingService/RollbackTraining",
        "/titan.v1.SnapshotService/CreateSnapshot",
        "/titan.v1.SnapshotService/DeleteSnapshot",
    }
)
LIBRARY_STREAMS = ("/grpc.reflection.", "/grpc.health.v1.Health/Watch")

Continuation = Callable[[grpc.HandlerCallDetails], Any]


class AdminOnly(grpc.ServerInterceptor):  # type: ignore[type-arg]  # the stubs are generic, the class is not
    """Turns verbs that change something away from a socket that is not for them."""

    def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See `grpc.ServerInterceptor`."""
        if handler_call_details.method not in ADMIN_METHODS:
            return continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_refuse)


class CountedLibraryStreams(grpc.ServerInterceptor):  # type: ignore[type-arg]  # the stubs are generic, the class is not
    """Counts reflection and health watches, which clients may leave open, among the long calls."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See `grpc.ServerInterceptor`."""
        handler = continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(LIBRARY_STREAMS):
            return handler
        serve = handler.stream_stream or handler.unary_stream

        def answer(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                with self._streams.long_call(context):
                    yield from serve(requests, context)
                return
            except Overloaded as error:
                code, text = grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)
            except WorkerDown as error:
                code, text = grpc.StatusCode.UNAVAILABLE, str(error)
            except InvalidRequest as error:
                code, text = grpc.StatusCode.INVALID_ARGUMENT, str(error)
            context.abort(code, text)

        build = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return build(answer, handler.request_deserializer, handler.response_serializer)


class ReadableRequests(grpc.ServerInterceptor):  # type: ignore[type-arg]  # the stubs are generic, the class is not
    """Refuses bytes that are no message.

    gRPC would by itself, but it ends such a stream twice, waits for the second end for ever, and so never stops.
    """

    def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See `grpc.ServerInterceptor`."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        reads, coding = handler.request_deserializer, (None, handler.response_serializer)
        if handler.unary_unary:
            serve = handler.unary_unary
            return grpc.unary_unary_rpc_method_handler(
                lambda data, context: serve(_read(reads, data), context), *coding
            )
        if handler.unary_stream:
            serve = handler.unary_stream
            return grpc.unary_stream_rpc_method_handler(
                lambda data, context: serve(_read(reads, data), context), *coding
            )
        serve = handler.stream_stream
        return grpc.stream_stream_rpc_method_handler(
            lambda stream, context: serve((_read(reads, data) for data in stream), context), *coding
        )


def _read(deserialize: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return deserialize(data)
    except DecodeError as error:
        raise InvalidRequest(
            "MESSAGE_UNREADABLE",
            f"{len(data)} bytes came that are not the message of this call.",
            "Build the client from this daemon's .proto files.",
        ) from error


def _refuse(request: Any, context: grpc.ServicerContext) -> None:
    raise NotPermitted(
        "ADMIN_ONLY",
        "This call is only taken on the admin socket.",
        "Use admin.sock beside this socket; its group is titand-admin.",
    )
