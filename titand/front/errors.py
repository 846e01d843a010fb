"""Errors on the wire: the family as gRPC statuses with a reason, anything else as INTERNAL without detail."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from grpc import StatusCode

from titan.v1.error_pb2 import ErrorInfo, RpcStatus
from titand.errors import (
    AlreadyRunning,
    ConfigError,
    CorruptFile,
    InvalidRequest,
    InvalidSample,
    ModelError,
    NotFound,
    NotPermitted,
    Overloaded,
    StorageError,
    TakenOver,
    TitanError,
    WorkerDown,
    WrongState,
)
from titand.runtime.log import Log

STATUS: Mapping[type[TitanError], StatusCode] = {
    ConfigError: StatusCode.FAILED_PRECONDITION,
    InvalidSample: StatusCode.INVALID_ARGUMENT,
    InvalidRequest: StatusCode.INVALID_ARGUMENT,
    NotFound: StatusCode.NOT_FOUND,
    WrongState: StatusCode.FAILED_PRECONDITION,
    NotPermitted: StatusCode.PERMISSION_DENIED,
    TakenOver: StatusCode.ABORTED,
    Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    WorkerDown: StatusCode.UNAVAILABLE,
    CorruptFile: StatusCode.DATA_LOSS,
    StorageError: StatusCode.FAILED_PRECONDITION,
    ModelError: StatusCode.FAILED_PRECONDITION,
    AlreadyRunning: StatusCode.ALREADY_EXISTS,
}

DETAILS_KEY = "grpc-status-details-bin"
INFO_TYPE = "type.googleapis.com/google.rpc.ErrorInfo"
DOMAIN = "titand"
OURS = "/titan.v1."  # the other services answer for themselves


def details_of(error: TitanError) -> bytes:
    """Return an error as a serialized RpcStatus that holds its reason, its metadata and its remedy."""
    metadata = {**error.metadata, "remedy": error.remedy} if error.remedy else error.metadata
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    detail = AnyMessage(type_url=INFO_TYPE, value=info.SerializeToString())
    code: int = STATUS[type(error)].value[0]
    status = RpcStatus(code=code, message=error.message, details=[detail])
    return status.SerializeToString()


def abort(context: grpc.ServicerContext, error: TitanError) -> NoReturn:
    """End a call with an error of the family."""
    context.set_trailing_metadata(((DETAILS_KEY, details_of(error)),))
    context.abort(STATUS[type(error)], error.message)
    raise AssertionError("abort returned")


class ErrorAnswers(grpc.ServerInterceptor):  # type: ignore[type-arg]  # the stubs are generic, the class is not
    """Lets services raise: what they raise becomes the call's status.

    Args:
        log: takes what is a bug of ours, in full.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See `grpc.ServerInterceptor`."""
        handler = continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or not method.startswith(OURS):
            return handler
        coding = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._answering(handler.unary_unary, method), *coding)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._streaming(handler.unary_stream, method), *coding)
        return grpc.stream_stream_rpc_method_handler(self._streaming(handler.stream_stream, method), *coding)

    def _answering(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return behaviour(request, context)
            except Exception as error:
                caught = error
            self._end(context, caught, method)

        return answer

    def _streaming(self, behaviour: Callable[..., Iterator[Any]], method: str) -> Callable[..., Iterator[Any]]:
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from behaviour(request, context)
                return
            except grpc.RpcError:  # the client is gone
                raise
            except Exception as error:
                caught = error
            self._end(context, caught, method)

        return answer

    def _end(self, context: grpc.ServicerContext, error: Exception, method: str) -> NoReturn:
        if isinstance(error, TitanError):
            abort(context, error)
        self._log.error("a call failed", method=method, traceback="".join(traceback.format_exception(error)))
        context.abort(StatusCode.INTERNAL, "An error in titand itself; its log has the details.")
        raise AssertionError("abort returned")
