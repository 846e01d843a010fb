"""TrainingService: shows the training, and takes down what the operator wishes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import grpc

from titan.v1 import training_service_pb2 as training_pb
from titan.v1.training_service_pb2_grpc import TrainingServiceServicer
from titand.clock import Clock
from titand.config import Config
from titand.errors import InvalidRequest, TitanError, WrongState
from titand.front.guard import rollback_message
from titand.front.state import READY_STATES, Reports, state_of
from titand.front.status import training_of
from titand.front.streams import Streams
from titand.runtime.boards import Boards
from titand.runtime.channels import Asker
from titand.runtime.ledger import Ledger
from titand.storage.manifests import Snapshot
from titand.telemetry.stages import Stages

WATCH_SECONDS = 0.1  # between two looks at the boards
ANSWER_SECONDS = 30.0  # a round may be under way, and a slow card takes its time for the checkpoint
WAKE_SECONDS = 1.0  # a trainer that is busy sees the wish after its round anyway
NOTE_CHARACTERS = 256


def read_reports(boards: Boards, front: Mapping[str, Any], hang_seconds: float) -> Reports:
    """Return what the boards and the front itself say now, and who is alive.

    A worker is alive that has a process, by the supervisor's word, and gave a sign of life within `hang_seconds`.
    """

    def content(board: str) -> dict[str, Any]:
        report = boards.read(board)
        return report.content if report is not None else {}

    supervisor = content("supervisor")
    dead = {each["name"] for each in supervisor.get("processes", ()) if not each.get("pid")}

    def is_alive(board: str) -> bool:
        silence = boards.silence_ns(board)
        return board not in dead and silence is not None and silence <= hang_seconds * 1e9

    return Reports(
        supervisor,
        {**content("front"), **front},
        content("selector"),
        content("trainer"),
        content("wishes"),
        frozenset(board for board in ("selector", "trainer") if is_alive(board)),
    )


class TrainingService(TrainingServiceServicer):  # type: ignore[misc]  # the stubs are not typed
    """See protos/titan/v1/training_service.proto.

    Args:
        config: asked at each use, for some of it may change.
        boards: everybody's reports; the wishes are written here.
        ledger: where every sample has gone.
        streams: the open ones.
        stages: the front's own latencies.
        trainer: is told of a new wish, and rolls back.
        find_snapshot: returns the snapshot of a name as it goes over the wire, see `SnapshotStore.get`.
        clock: stamps.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        boards: Boards,
        ledger: Ledger,
        streams: Streams,
        stages: Stages,
        trainer: Asker,
        find_snapshot: Callable[[str], Snapshot],
        clock: Clock,
    ) -> None:
        self._config = config
        self._boards = boards
        self._ledger = ledger
        self._streams = streams
        self._stages = stages
        self._trainer = trainer
        self._find_snapshot = find_snapshot
        self._clock = clock
        self._wishing = threading.Lock()

    def GetTraining(
        self, request: training_pb.GetTrainingRequest, context: grpc.ServicerContext
    ) -> training_pb.Training:
        """Return the training."""
        return self.training()

    def WatchTraining(
        self, request: training_pb.WatchTrainingRequest, context: grpc.ServicerContext
    ) -> Iterator[training_pb.WatchTrainingResponse]:
        """Yield the training now, and whenever there is news of it."""
        shown: tuple[Any, ...] | None = None
        with self._streams.long_call(context) as leaving:
            while not leaving.is_set():
                training = self.training()
                worth = _worth_a_message(training)
                if worth != shown:
                    shown = worth
                    yield training_pb.WatchTrainingResponse(training=training)
                leaving.wait(WATCH_SECONDS)
            self._streams.require_running()

    def PauseTraining(
        self, request: training_pb.PauseTrainingRequest, context: grpc.ServicerContext
    ) -> training_pb.PauseTrainingResponse:
        """Note the wish to pause."""
        require_note(request.note)
        self._wish(True, request.note)
        return training_pb.PauseTrainingResponse(training=self.training())

    def ResumeTraining(
        self, request: training_pb.ResumeTrainingRequest, context: grpc.ServicerContext
    ) -> training_pb.ResumeTrainingResponse:
        """Note the wish to go on, and lift the pause that the guard has set."""
        if self._is_paused_by_guard():
            self._trainer.ask("resume", ANSWER_SECONDS)
            with suppress(WrongState):  # there may be no wish beside
                self._wish(False, "")
        else:
            self._wish(False, "")
        return training_pb.ResumeTrainingResponse(training=self.training())

    def RollbackTraining(
        self, request: training_pb.RollbackTrainingRequest, context: grpc.ServicerContext
    ) -> training_pb.RollbackTrainingResponse:
        """Have the trainer go back to a snapshot."""
        require_note(request.note)
        snapshot = self._find_snapshot(request.snapshot)
        done = self._trainer.ask("rollback", ANSWER_SECONDS, name=snapshot.name, note=request.note)
        return training_pb.RollbackTrainingResponse(rollback=rollback_message(done))

    def training(self) -> training_pb.Training:
        """Return the training as it is now."""
        config = self._config()
        reports = read_reports(self._boards, {"stages": self._stages.to_plain()}, config.service.hang_seconds)
        return training_of(config, reports, self._ledger.counts(), self._streams.to_plain(), self._clock.wall_ns())

    def is_ready(self) -> bool:
        """Whether the daemon does what it is there for: rounds run, or would if they might."""
        config = self._config()
        reports = read_reports(self._boards, {}, config.service.hang_seconds)
        return state_of(reports, config.round_samples).state in READY_STATES

    def _is_paused_by_guard(self) -> bool:
        report = self._boards.read("trainer")
        return report is not None and bool((report.content.get("guard") or {}).get("pause"))

    def _wish(self, paused: bool, note: str) -> None:
        with self._wishing:
            report = self._boards.read("wishes")
            if paused == bool(report is not None and report.content.get("paused")):
                raise _already(paused)
            self._boards.write("wishes", {"paused": paused, "note": note, "since_ns": self._clock.wall_ns()})
        with suppress(TitanError):  # the wish is on the board: whoever trains next obeys it
            self._trainer.ask("wake", WAKE_SECONDS)


def require_note(note: str) -> None:
    """Refuse a note that is too long, or would break the line that shows it.

    Raises:
        InvalidRequest: NOTE_TOO_LONG, NOTE_INVALID.
    """
    if len(note) > NOTE_CHARACTERS:
        raise InvalidRequest(
            "NOTE_TOO_LONG", f"The note has {len(note)} characters.", f"Use at most {NOTE_CHARACTERS}."
        )
    if not note.isprintable():
        raise InvalidRequest("NOTE_INVALID", "The note holds a line break or a control character.", "Write one line.")


def _already(paused: bool) -> WrongState:
    if paused:
        return WrongState("ALREADY_PAUSED", "The training is paused already.", "`titanctl resume` lets it go on.")
    return WrongState("NOT_PAUSED", "The training is not paused.", "`titanctl status` shows what it is doing.")


def _worth_a_message(training: training_pb.Training) -> tuple[Any, ...]:
    """Return what, when it changes, is news to a watcher."""
    return (
        training.state,
        training.state_reason,
        training.round_count,
        training.evaluation.version,
        training.last_snapshot,
        tuple(item.code for item in training.health),
    )
