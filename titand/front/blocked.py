"""The front of a daemon whose state the disk refuses: it says so to whoever asks, and takes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from titan.v1 import training_service_pb2 as training_pb
from titand.clock import SystemClock
from titand.config_text import config_from_json
from titand.errors import ConfigError, WorkerDown
from titand.front.errors import abort
from titand.front.server import (
    KEEPALIVE_SECONDS,
    NOT_SERVING,
    PING_SECONDS,
    QUEUED_CALLS,
    SHORT_CALLS,
    SOCKETS,
    on_sigterm,
    server_options,
    wait_for_end,
)
from titand.front.sockets import bind
from titand.front.status import training_of
from titand.front.training import read_reports
from titand.runtime.boards import Boards
from titand.runtime.channels import Channel
from titand.runtime.descriptors import Descriptors, read_text
from titand.runtime.log import Log


class Answers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs are generic, the class is not
    """Shows the training, says that the service does not serve, and refuses every other call.

    Args:
        training: returns it.
    """

    def __init__(self, training: Callable[[], training_pb.Training]) -> None:
        self._training = training

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See `grpc.GenericRpcHandler`."""
        known = {
            "/titan.v1.TrainingService/GetTraining": lambda: self._training().SerializeToString(),
            "/grpc.health.v1.Health/Check": health_pb2.HealthCheckResponse(status=NOT_SERVING).SerializeToString,
        }
        answer = known.get(handler_call_details.method)
        if answer is None:
            return grpc.stream_stream_rpc_method_handler(self._refuse)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer())

    def _refuse(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        training = self._training()
        remedy = "Try again: the daemon does so too, and goes on once the disk lets it."
        abort(context, WorkerDown(training.state_reason, training.state_message, remedy))


def run_blocked(given: Descriptors) -> int:
    """Answer until SIGTERM or until the supervisor is gone; return the exit status."""
    clock, config = SystemClock(), config_from_json(read_text(given.config))
    log, boards, supervisor = (
        Log("front", config.service.log_level),
        Boards(given.boards, clock),
        Channel.of_descriptor(given.supervisor),
    )

    def training() -> training_pb.Training:
        reports = read_reports(boards, {}, config.service.hang_seconds)
        return training_of(config, reports, None, (), clock.wall_ns())

    told_to_end = on_sigterm()
    servers = []
    try:
        for name, group in SOCKETS.items():
            server = grpc.server(
                ThreadPoolExecutor(SHORT_CALLS, name),
                [Answers(training)],
                options=server_options(config.ingest.max_message_bytes, KEEPALIVE_SECONDS, PING_SECONDS),
                maximum_concurrent_rpcs=SHORT_CALLS + QUEUED_CALLS,
            )
            bind(server, Path(config.service.runtime_directory).absolute() / name, group)
            server.start()
            servers.append(server)
    except ConfigError as error:
        log.error("cannot listen", reason=error.reason, message=str(error))
    else:
        wait_for_end(told_to_end, supervisor)
    for ended in [server.stop(None) for server in servers]:
        ended.wait()
    return 0
