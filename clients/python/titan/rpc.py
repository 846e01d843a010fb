"""What both clients need of gRPC: options of a channel, and what a failed call means."""

from __future__ import annotations

from typing import Any

from titan.address import no_answer, why_unreachable
from titan.errors import TitanError, Unreachable
from titan.v1 import error_pb2

CONNECT_SECONDS = 2.0
CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_SECONDS * 1000)),  # of one attempt: a starved daemon answers late
    ("grpc.max_reconnect_backoff_ms", 500),  # a local daemon is back within a second
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # one client, one connection
)
PUSH_SAMPLES = "/titan.v1.SampleService/PushSamples"
# What grpc.aio says when it wrote to a stream that the server had just ended: it drops the server's status
# (https://github.com/grpc/grpc/issues/36066). A refusal that stands comes again when the stream is opened.
STATUS_LOST = "Internal error from Core"
NOT_GREETED = "connection attempt timed out"  # the kernel took the connection, the daemon did not
STATUS_DETAILS = "grpc-status-details-bin"
NOT_YET = "REPLAYING"  # the daemon has just started, did nothing, and soon can
AGAIN_SECONDS = 0.1  # until such a call is made again, within its time


def from_call(error: Any, address: str, waited_seconds: float | None = None) -> TitanError:
    """Return the error that a failed call stands for: the daemon's own, or why the daemon cannot be reached."""
    code = error.code().name
    stated = _stated(error)
    if stated is not None:
        return stated
    if code == "DEADLINE_EXCEEDED":
        return why_unreachable(address) or no_answer(address, waited_seconds or 0.0)
    if code == "UNAVAILABLE" and NOT_GREETED in error.details():
        return why_unreachable(address) or no_answer(address, CONNECT_SECONDS)
    if code == "UNAVAILABLE" or error.details() == STATUS_LOST:
        return why_unreachable(address) or Unreachable(
            "UNAVAILABLE", "CONNECTION_LOST", f"The connection to {address} broke: {error.details()}.", "Try again."
        )
    if code == "UNIMPLEMENTED":
        return TitanError(
            code, code, "The daemon does not know this call; it is of another version.", "Update titand or titan."
        )
    return TitanError(code, code, error.details() or code)


def _stated(error: Any) -> TitanError | None:
    """Return what the daemon itself said, None if it said nothing."""
    for key, value in error.trailing_metadata() or ():
        if key != STATUS_DETAILS:
            continue
        status = error_pb2.RpcStatus.FromString(value)
        for detail in status.details:
            if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                info = error_pb2.ErrorInfo.FromString(detail.value)
                facts = dict(info.metadata)
                remedy = facts.pop("remedy", "")
                return TitanError(error.code().name, info.reason, status.message, remedy, facts)
    return None
