"""A front in a temporary folder, with its supervisor and trainer played by a thread that answers from a script."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from titan.v1 import (
    sample_service_pb2_grpc,
    snapshot_service_pb2_grpc,
    telemetry_service_pb2_grpc,
    training_service_pb2_grpc,
)
from titan.v1.error_pb2 import ErrorInfo, RpcStatus
from titan.v1.sample_service_pb2 import (
    PushSamplesRequest,
    PushSamplesResponse,
    SampleBatch,
    StreamOpen,
)
from titan.v1.tensor_pb2 import TensorSpec
from titand.clock import SystemClock
from titand.config import Config, IngestConfig, InputConfig, ModelConfig, ServiceConfig
from titand.errors import TitanError
from titand.front.server import Front, FrontResources
from titand.runtime.arena import FILLED, Arena, ArenaLayout, create_arena
from titand.runtime.boards import Boards, create_boards
from titand.runtime.channels import Asker, Channel, ChannelClosed, channel_pair, plain_error
from titand.runtime.counters import LedgerCounts
from titand.runtime.ledger import Ledger
from titand.runtime.log import Log

SECONDS = 10.0  # no test waits longer for anything
SHAPE = (2, 2)
SPEC = TensorSpec(data_type=TensorSpec.DATA_TYPE_UINT8, shape=SHAPE)
LABELS = ("cat", "dog", "owl")
SAMPLE_BYTES = 4

Script = Mapping[str, Callable[..., Mapping[str, Any]]]


def config_in(folder: Path, data_type: str = "uint8", shape: tuple[int, ...] = SHAPE, **ingest: Any) -> Config:
    """Return a configuration for a tiny model that lives in a folder."""
    return Config(
        model=ModelConfig(architecture="mlp", labels=LABELS, input=InputConfig(data_type=data_type, shape=shape)),
        ingest=IngestConfig(**{"patience_seconds": 0.0, **ingest}),
        service=ServiceConfig(state_directory=str(folder), runtime_directory=str(folder)),
    )


def answer(end: socket.socket, script: Script | None) -> None:
    """Answer questions until the other side is gone; without a script, be gone at once."""
    channel = Channel(end)
    try:
        while script is not None:
            question = channel.receive()
            assert question is not None
            reply: dict[str, Any] = {"id": question.pop("id")}
            del question["until_ns"]
            try:
                reply["answer"] = script[question.pop("verb")](**question)
            except TitanError as error:
                reply["error"] = plain_error(error)
            channel.send(reply)
    except ChannelClosed:
        pass
    channel.close()


@dataclass
class House:
    """What outlives a front: the memories of its daemon."""

    config: Config
    slot_count: int = 64
    trainer: Script | None = None
    supervisor: Script | None = None
    selector: Script | None = None

    def __post_init__(self) -> None:
        self.folder = Path(self.config.service.runtime_directory)
        for folder in (self.config.snapshot_folder, self.config.log_folder):
            folder.mkdir(exist_ok=True)
        self.arena_descriptor = create_arena(ArenaLayout(self.slot_count, self.config.model_spec.input.size_bytes))
        self.arena = Arena(self.arena_descriptor)
        self.filled = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.boards_descriptor = create_boards()
        self.boards = Boards(self.boards_descriptor, SystemClock())
        for descriptor in (self.arena_descriptor, self.filled, self.boards_descriptor):
            weakref.finalize(self, os.close, descriptor)

    @contextmanager
    def front(self, **options: float) -> Iterator[Front]:
        """Run a front; the next one finds what this one left."""
        clock = SystemClock()
        ends: list[tuple[Channel, threading.Thread]] = []

        def asker(whom: str, script: Script | None) -> Asker:
            ours, theirs = channel_pair()
            answering = threading.Thread(target=answer, args=(theirs, script), daemon=True)
            answering.start()
            ends.append((Channel(ours), answering))
            return Asker(ends[-1][0], whom, clock)

        front = Front(
            FrontResources(
                Arena(self.arena_descriptor),
                self.filled,
                self.boards,
                asker("trainer", self.trainer),
                asker("selector", self.selector),
                asker("supervisor", self.supervisor),
                self.config,
                clock,
                Log("front", "info", {}),
            ),
            **options,
        )
        front.start()
        try:
            yield front
        finally:
            front.stop(0.2)
            for end, answering in ends:
                end.close()
                answering.join()

    @contextmanager
    def stubs(self, socket: str = "titand.sock") -> Iterator[Stubs]:
        """Connect."""
        with grpc.insecure_channel(f"unix:{self.folder / socket}") as channel:
            yield Stubs(channel)

    def take(self, state: int, most: int | None = None) -> int:
        """Play the workers: end samples that wait, oldest first; return how many."""
        slots = self.arena.slots_in(FILLED)[:most]
        self.arena.mark(slots, state)
        return len(slots)


class Stubs:
    """One channel's stubs."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.samples = sample_service_pb2_grpc.SampleServiceStub(channel)
        self.training = training_service_pb2_grpc.TrainingServiceStub(channel)
        self.snapshots = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
        self.telemetry = telemetry_service_pb2_grpc.TelemetryServiceStub(channel)


class Conversation:
    """A push stream spoken by hand: one message, one answer."""

    def __init__(self, stubs: Stubs, stream_id: str = "", producer: str = "test") -> None:
        self._requests: list[Any] = []
        self._more = threading.Condition()
        self.call = stubs.samples.PushSamples(self._sending(), timeout=SECONDS)
        if not self.call.add_callback(lambda: self.send(None)):  # so that no thread waits for more
            self.send(None)
        self.send(PushSamplesRequest(open=StreamOpen(stream_id=stream_id, producer=producer)))
        self.opened = self.hear().opened

    def _sending(self) -> Iterator[PushSamplesRequest]:
        while True:
            with self._more:
                self._more.wait_for(lambda: self._requests)
                request = self._requests.pop(0)
            if request is None:
                return
            yield request

    def send(self, request: PushSamplesRequest | None) -> None:
        """Say something; None closes our side."""
        with self._more:
            self._requests.append(request)
            self._more.notify()

    def hear(self) -> PushSamplesResponse:
        """Return the next answer."""
        return next(self.call)

    def push(self, batch: SampleBatch) -> Any:
        """Push a batch; return the acknowledgement that settles it, merged from as many as it takes."""
        self.send(PushSamplesRequest(batch=batch))
        last = batch.first_sequence + len(batch.labels) - 1
        whole = self.hear().acknowledgement
        while whole.acknowledged_sequence < last:
            whole.MergeFrom(self.hear().acknowledgement)
        return whole

    def close(self) -> list[Any]:
        """Close our side, and return the remaining answers."""
        self.send(None)
        return [each.acknowledgement for each in self.call]


def counts(house: House) -> LedgerCounts:
    """Return what its ledger says, as a successor of the front would read it."""
    return Ledger(house.arena, house.filled, SystemClock()).counts()


def batch_of(first_sequence: int, labels: list[int], **other: Any) -> SampleBatch:
    """Return a batch whose samples all differ."""
    data = b"".join(((first_sequence + place) % 2**32).to_bytes(SAMPLE_BYTES, "little") for place in range(len(labels)))
    return SampleBatch(**{"first_sequence": first_sequence, "spec": SPEC, "labels": labels, "data": data, **other})


def info_of(error: grpc.RpcError) -> ErrorInfo:
    """Return the reason that travelled with a status."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = RpcStatus.FromString(details)
    info = ErrorInfo()
    assert status.code == error.code().value[0]
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info.ParseFromString(status.details[0].value)
    return info


def eventually(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds that another thread brings about."""
    deadline = SystemClock().monotonic_ns() + int(SECONDS * 1e9)
    pause = threading.Event()
    while not condition():
        assert SystemClock().monotonic_ns() < deadline, "it did not come about"
        pause.wait(0.002)


def failure_of(call: Any, answers: list[Any] | None = None) -> grpc.RpcError:
    """Return the error that a stream ends with; what it said before is added to `answers`."""
    try:
        for answer in call:
            if answers is not None:
                answers.append(answer)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the stream ended well")
