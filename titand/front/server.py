"""The front: takes samples in and answers for the daemon, on two sockets, without torch.

`titand.sock` is for producers and viewers; `admin.sock`, whose group is smaller, also takes the verbs that change
something. Who may connect is decided by the sockets' permissions.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from titan.v1 import (
    sample_service_pb2,
    sample_service_pb2_grpc,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
    telemetry_service_pb2,
    telemetry_service_pb2_grpc,
    training_service_pb2,
    training_service_pb2_grpc,
)
from titand.clock import Clock, SystemClock
from titand.config import Config, with_changes
from titand.config_text import config_from_json
from titand.errors import ConfigError
from titand.front.errors import ErrorAnswers
from titand.front.guards import AdminOnly, CountedLibraryStreams, ReadableRequests
from titand.front.high_water import HighWater
from titand.front.keeping import Keeping
from titand.front.sample_log import SampleLog
from titand.front.samples import FLUSHES, SampleService, most_credit
from titand.front.snapshots import SnapshotService, find_snapshot
from titand.front.sockets import bind, inode
from titand.front.streams import LONG_CALLS, Streams
from titand.front.telemetry import TelemetryService
from titand.front.training import TrainingService
from titand.runtime.arena import STREAM_COUNT, Arena
from titand.runtime.boards import Boards
from titand.runtime.channels import Asker, Channel
from titand.runtime.descriptors import Descriptors, read_text
from titand.runtime.ledger import Ledger
from titand.runtime.log import Log
from titand.storage.snapshots import SnapshotStore
from titand.telemetry.stages import Stages

SOCKETS = {"titand.sock": "", "admin.sock": "titand-admin"}  # and the group of each, "" for the daemon's own
SHORT_CALLS = 8  # threads that streams never take
QUEUED_CALLS = 64  # short calls that may wait for a thread
BEAT_SECONDS = 1.0
GIVE_BACK_BEATS = 5  # between two looks for memory that a backlog no longer needs
GRACE_SECONDS = 2.0  # for calls in flight when the front is told to end
HANDSHAKE_SECONDS = 3.0  # a connection that says nothing is closed
MOST_CONNECTIONS = 256  # of a socket: each costs 13 kB and a descriptor, though it never says a word
KEEPALIVE_SECONDS = 60.0  # until a client that went silent is asked for a sign of life
PING_SECONDS = 10.0  # and how long it may take to give it: a frozen one is found after both

SERVICES = tuple(
    service.full_name
    for module in (sample_service_pb2, training_service_pb2, snapshot_service_pb2, telemetry_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class FrontResources:
    """What the front is given.

    Attributes:
        arena: where samples go.
        filled_eventfd: tells the selector.
        boards: everybody's reports.
        trainer: answers about snapshots.
        selector: corrects labels.
        supervisor: has models exported.
        config: the daemon's.
        clock: the time.
        log: lines for people.
    """

    arena: Arena
    filled_eventfd: int
    boards: Boards
    trainer: Asker
    selector: Asker
    supervisor: Asker
    config: Config
    clock: Clock
    log: Log


class Front:
    """Both servers and what they share.

    Args:
        resources: what the front is given.
        keepalive_seconds: see KEEPALIVE_SECONDS.
        ping_seconds: see PING_SECONDS.
    """

    def __init__(
        self,
        resources: FrontResources,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        config, clock, boards = resources.config, resources.clock, resources.boards
        self.config = config
        self._given = config
        self._log = resources.log
        self._boards = boards
        self._folder = Path(config.service.runtime_directory).absolute()
        self._most_streams = min(config.ingest.max_streams, STREAM_COUNT)
        self._options = server_options(config.ingest.max_message_bytes, keepalive_seconds, ping_seconds)
        self._stages = Stages(clock)
        most_pending = pending_count(config, resources.arena.layout.slot_count)
        capacity, log = config.ingest.log_bytes if config.ingest.durable else 0, resources.log
        kept = SampleLog(
            config.log_folder, capacity, config.sample_fingerprint, lambda: covered_sequence(boards), clock, log
        )
        self._ledger = ledger = Ledger(
            resources.arena, resources.filled_eventfd, clock, most_pending, kept if capacity else None
        )
        marks = HighWater(
            self._folder / "ledger.page",
            Path(config.service.state_directory) / "numbers.json",
            not capacity,
            clock,
            log,
        )
        self._keeping = Keeping(ledger, kept, marks, clock, log)
        flush_samples = most_credit(config.model_spec.input.size_bytes) // FLUSHES
        self.streams = streams = Streams(ledger, self._most_streams, flush_samples, clock)
        store = SnapshotStore(config.snapshot_folder)
        self._samples = SampleService(
            ledger, streams, resources.selector, self._keeping, lambda: self.config, clock, self._stages
        )
        self._training = TrainingService(
            lambda: self.config,
            boards,
            ledger,
            streams,
            self._stages,
            resources.trainer,
            partial(find_snapshot, store),
            clock,
        )
        self._snapshots = SnapshotService(store, streams, resources.trainer, resources.supervisor)
        self._telemetry = TelemetryService(boards, streams, config.telemetry.interval_seconds, clock)
        # Its default way of watching sends under a lock that the end of a watch waits for: both then wait for ever.
        self._health = health.HealthServicer(experimental_non_blocking=False)
        self._servers: list[grpc.Server] = []
        self._inodes: dict[Path, int | None] = {}
        self._settings_ns = 0
        self._stopping = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="beat", daemon=True)

    def start(self) -> None:
        """Listen on both sockets, then say so on the board.

        Raises:
            ConfigError: a socket cannot be bound.
        """
        for name, group in SOCKETS.items():
            self._servers.append(server := self._new_server(name))
            bind(server, path := self._folder / name, group)
            self._inodes[path] = inode(path)
        self._keeping.start()
        for server in self._servers:
            server.start()
        for service in SERVICES:
            self._health.set(service, SERVING)
        self._show("serving")
        self._beating.start()

    def stop(self, grace_seconds: float) -> None:
        """Take nothing more, let open streams have their acknowledgements, and end."""
        self._health.enter_graceful_shutdown()
        self.streams.stop()
        self._keeping.stop()
        for ended in [server.stop(grace_seconds) for server in self._servers]:
            ended.wait()
        self._stopping.set()
        if self._beating.is_alive():
            self._beating.join()
        self._show("stopped")
        self._keeping.close()

    def can_be_found(self) -> bool:
        """Whether the paths of both sockets still lead here: nobody has deleted or replaced them."""
        return all(inode(path) == known for path, known in self._inodes.items())

    def _new_server(self, name: str) -> grpc.Server:
        threads = self._most_streams + LONG_CALLS + SHORT_CALLS
        guards = [CountedLibraryStreams(self.streams), ReadableRequests()]
        guards += [AdminOnly()] if name == "titand.sock" else []
        server = grpc.server(
            ThreadPoolExecutor(threads, name),
            interceptors=[ErrorAnswers(self._log), *guards],
            options=self._options,
            maximum_concurrent_rpcs=threads + QUEUED_CALLS,
        )
        sample_service_pb2_grpc.add_SampleServiceServicer_to_server(self._samples, server)
        training_service_pb2_grpc.add_TrainingServiceServicer_to_server(self._training, server)
        snapshot_service_pb2_grpc.add_SnapshotServiceServicer_to_server(self._snapshots, server)
        telemetry_service_pb2_grpc.add_TelemetryServiceServicer_to_server(self._telemetry, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    def _beat(self) -> None:
        beats = 0
        while not self._stopping.wait(BEAT_SECONDS):
            beats += 1
            if beats % GIVE_BACK_BEATS == 0:
                self._ledger.give_back()
            self._take_settings()
            self._keeping.beat()
            self._ledger.expire(self.config.ingest.label_patience_seconds)
            self._show("serving")

    def _take_settings(self) -> None:
        report = self._boards.read("settings")
        if report is not None and report.written_ns != self._settings_ns:
            self._settings_ns = report.written_ns
            self.config = with_changes(self._given, report.content)
            self._log.level = self.config.service.log_level

    def _show(self, state: str) -> None:
        is_ready = self._keeping.is_readable and self._training.is_ready()
        self._health.set("", SERVING if is_ready else NOT_SERVING)
        content = {
            "state": state,
            "stages": self._stages.to_plain(),
            "streams": self.streams.to_plain(),
            "log": self._keeping.to_plain(),
            "health": self._keeping.health(),
        }
        self._boards.write("front", content)


def covered_sequence(boards: Boards) -> int:
    """Return the newest record of the log of samples that a durable checkpoint has: the restored one, or a later."""
    reports = (boards.read("supervisor"), boards.read("trainer"))
    return max(
        report.content.get("checkpoint", {}).get("sequence", 0) if report is not None else 0 for report in reports
    )


def pending_count(config: Config, slot_count: int) -> int:
    """Return how many samples may wait for their label, so that the others have room."""
    wanted = config.ingest.pending_bytes // config.model_spec.input.size_bytes
    return max(1, min(wanted if config.ingest.pending_bytes else slot_count // 4, slot_count // 2))


def server_options(
    max_message_bytes: int, keepalive_seconds: float, ping_seconds: float
) -> tuple[tuple[str, int], ...]:
    """Return the settings of gRPC that a local daemon needs."""
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        # Without these two a producer runs megabytes ahead of a server that has stopped reading.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 256 << 10),
        # A frozen client is only found with all three.
        ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(ping_seconds * 1000)),
        ("grpc.http2.ping_timeout_ms", int(ping_seconds * 1000)),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_SECONDS * 1000)),
        ("grpc.max_allowed_incoming_connections", MOST_CONNECTIONS),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the front until SIGTERM or until the supervisor is gone; return the exit status."""
    parser = argparse.ArgumentParser(prog="titand.front.server")
    parser.add_argument("--fds", required=True, help="inherited descriptors, see titand.runtime.descriptors")
    given = Descriptors.from_argument(parser.parse_args(arguments).fds)
    clock = SystemClock()
    config = config_from_json(read_text(given.config))
    log = Log("front", config.service.log_level)
    supervisor, folder = Channel.of_descriptor(given.supervisor), config.service.runtime_directory
    try:
        Path(folder).mkdir(mode=0o750, exist_ok=True)  # it may have been deleted under us
    except OSError as error:
        log.error("cannot make its folder", folder=folder, why=error.strerror)
        return os.EX_UNAVAILABLE
    front = Front(
        FrontResources(
            Arena(given.arena),
            given.filled,
            Boards(given.boards, clock),
            Asker(Channel.of_descriptor(given.trainer), "trainer", clock),
            Asker(Channel.of_descriptor(given.selector), "selector", clock),
            Asker(supervisor, "supervisor", clock),
            config,
            clock,
            log,
        )
    )
    told_to_end = on_sigterm()
    try:
        front.start()
    except ConfigError as error:
        log.error("cannot listen", reason=error.reason, message=str(error))
        return os.EX_CONFIG
    log.info("listens", folder=folder)
    if not wait_for_end(told_to_end, supervisor, front.can_be_found):
        log.error("its sockets were deleted or replaced: listens anew", folder=folder)
        return os.EX_UNAVAILABLE  # at once: an orderly end deletes what has that path now
    front.stop(GRACE_SECONDS)
    log.info("stopped")
    return 0


def wait_for_end(told_to_end: int, supervisor: Channel, is_well: Callable[[], bool] = lambda: True) -> bool:
    """Return True once `on_sigterm`'s descriptor says so or the supervisor is gone, False once all is not well."""
    poll = select.poll()
    poll.register(told_to_end, select.POLLIN)
    poll.register(supervisor.fileno(), 0)  # hang-ups only: answers are for whoever asked
    while not poll.poll(BEAT_SECONDS * 1000):
        if not is_well():
            return False
    return True


def on_sigterm() -> int:
    """Return a descriptor that can be read once SIGTERM has come."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # the pipe tells
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor stops us in order
    return reading


if __name__ == "__main__":
    # Without waiting for threads: a call that waits for the trainer's answer must not hold up the end.
    os._exit(main())
