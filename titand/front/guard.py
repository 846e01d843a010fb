"""The guard as clients see it, from what the trainer's board and the manifests say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan

from titan.v1 import guard_pb2 as guard_pb
from titand.front.state import Plain
from titand.front.times import set_time

_PREFIX = "snapshots/"


def guard_message(plain: Plain) -> guard_pb.Guard:
    """Return the guard, see `titand.workers.guard.Guard.to_plain`."""
    guard = guard_pb.Guard(
        best=_named(plain.get("best") or ""),
        look_count=plain.get("looks", 0),
        automatic_rollback_count=plain.get("automatic", 0),
        rate_factor=plain.get("rate_factor", 1.0),
    )
    if plain.get("last_gate"):
        guard.last_gate.CopyFrom(gate_message(plain["last_gate"]))
    if plain.get("last"):
        guard.last_rollback.CopyFrom(rollback_message(plain["last"]))
    return guard


def gate_message(plain: Plain) -> guard_pb.Gate:
    """Return a comparison with the best snapshot, as boards and manifests have it."""
    gate = guard_pb.Gate(
        verdict=f"VERDICT_{plain['verdict'].upper()}",
        message=plain.get("message", ""),
        round_number=plain.get("round", 0),
        best=_named(plain.get("best", "")),
        held_out=_comparison(plain["held_out"]),
        golden=_comparison(plain["golden"]) if plain.get("golden") else None,
    )
    set_time(gate.judge_time, plain.get("judge_time_ns"))
    return gate


def rollback_message(plain: Plain) -> guard_pb.Rollback:
    """Return a rollback, as the trainer tells it."""
    source = plain["source"]
    rollback = guard_pb.Rollback(
        round_number=plain["round"],
        source=source if source in ("checkpoint", "initial") else _named(source),
        reason=plain["reason"],
        message=plain["message"],
    )
    set_time(rollback.rollback_time, plain.get("time_ns"))
    return rollback


def confusion_messages(plain: Iterable[Sequence[int]]) -> list[guard_pb.Confusion]:
    """Return what was taken for what."""
    return [guard_pb.Confusion(label=label, predicted=predicted, count=count) for label, predicted, count in plain]


def _comparison(plain: Plain) -> guard_pb.Comparison:
    loss = plain.get("loss")
    return guard_pb.Comparison(
        class_counts=plain.get("class_counts", ()),
        correct_counts=plain.get("correct_counts", ()),
        confusions=confusion_messages(plain.get("confusions", ())),
        loss=nan if loss is None else loss,
        better_count=plain.get("better", 0),
        worse_count=plain.get("worse", 0),
        difference=plain.get("difference"),
        difference_low=plain.get("difference_low"),
        difference_high=plain.get("difference_high"),
    )


def _named(snapshot: str) -> str:
    return _PREFIX + snapshot if snapshot else ""
