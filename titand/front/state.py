"""What the training is doing, with exactly one stated reason, from what the boards say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from titan.v1 import training_service_pb2 as training_pb

Plain = Mapping[str, Any]
State = training_pb.Training.State

READY_STATES = frozenset({State.STATE_ACTIVE, State.STATE_WAITING, State.STATE_PAUSED})


@dataclass(frozen=True)
class Reports:
    """What the boards say; empty where nothing is known.

    Attributes:
        alive: workers that gave a sign of life lately.
    """

    supervisor: Plain = field(default_factory=dict)
    front: Plain = field(default_factory=dict)
    selector: Plain = field(default_factory=dict)
    trainer: Plain = field(default_factory=dict)
    wishes: Plain = field(default_factory=dict)
    alive: frozenset[str] = frozenset()

    @property
    def workers_are_up(self) -> bool:
        """Whether selector and trainer are at work."""
        return {"selector", "trainer"} <= self.alive

    @property
    def workers_were_up(self) -> bool:
        """Whether they were, in an earlier life."""
        processes = self.supervisor.get("processes", ())
        return any(each.get("restart_count") for each in processes if each["name"] in ("zygote", "selector", "trainer"))


@dataclass(frozen=True)
class StateNow:
    """The state with its one stated reason."""

    state: State
    reason: str
    message: str
    since_ns: int = 0


def state_of(reports: Reports, round_samples: int) -> StateNow:
    """Return what the training is doing: the supervisor's word first, then the workers', then the trainer's.

    Args:
        reports: what the boards say.
        round_samples: arrivals that a window needs.
    """
    supervisor, trainer, wishes = reports.supervisor, reports.trainer, reports.wishes
    stated = {"blocked": State.STATE_STARTING, "failed": State.STATE_FAILED, "stopping": State.STATE_STOPPING}
    by_supervisor = stated.get(supervisor.get("state", ""))
    if by_supervisor is not None:
        return StateNow(
            by_supervisor,
            supervisor.get("state_reason")
            or ("DAEMON_STOPPING" if by_supervisor == State.STATE_STOPPING else "FAILED"),
            supervisor.get("state_message", ""),
            supervisor.get("state_since_ns", 0),
        )
    if not reports.workers_are_up or trainer.get("state") in (None, "starting", "failed"):
        since_ns = supervisor.get("state_since_ns", 0)
        for worker in (trainer, reports.selector):
            if worker.get("state") == "failed":
                return StateNow(
                    State.STATE_STARTING,
                    worker["state_reason"],
                    worker["state_message"],
                    worker.get("state_since_ns", 0),
                )
        if reports.workers_were_up:
            return StateNow(State.STATE_STARTING, "WORKER_RESTARTING", "The workers are being started again.", since_ns)
        return StateNow(State.STATE_STARTING, "LOADING_MODEL", "The workers load torch and the model.", since_ns)
    since_ns = trainer.get("state_since_ns", 0)
    pause = (trainer.get("guard") or {}).get("pause")
    if trainer["state"] == "paused" and not wishes.get("paused"):
        if pause:
            return StateNow(State.STATE_PAUSED, pause["reason"], pause["message"], since_ns)
        return StateNow(State.STATE_PAUSED, "RESUMING", "It goes on in a moment.", since_ns)
    if trainer["state"] == "paused":
        note = wishes.get("note") or "no reason was given"
        return StateNow(State.STATE_PAUSED, "PAUSED_ON_REQUEST", f"Paused on request: {note}.", since_ns)
    if wishes.get("paused"):
        return StateNow(State.STATE_ACTIVE, "PAUSING", "It pauses after the round in flight.", since_ns)
    if trainer["state"] == "waiting":
        text = f"Fewer than {round_samples} samples have arrived since the last round."
        return StateNow(State.STATE_WAITING, "TOO_FEW_SAMPLES", text, since_ns)
    return StateNow(State.STATE_ACTIVE, "TRAINING", "Rounds run.", since_ns)
