"""What survives, as clients see it. Pure."""

from __future__ import annotations

from titan.v1 import training_service_pb2 as training_pb
from titand.config import Config
from titand.front.state import Plain, Reports

_NOTHING: Plain = {}


def durability_of(config: Config, reports: Reports) -> training_pb.Durability:
    """Return what is on the medium: the newest checkpoint, and the log of samples."""
    checkpoint = reports.trainer.get("checkpoint") or reports.supervisor.get("checkpoint") or _NOTHING
    log = reports.front.get("log") or _NOTHING
    durability = training_pb.Durability(
        keeps_samples=log.get("keeps_samples", False),
        checkpoint_round=checkpoint.get("round", 0),
        checkpoint_size_bytes=checkpoint.get("size_bytes", 0),
        daily_budget_bytes=config.storage.daily_bytes,
        log_size_bytes=log.get("size_bytes", 0),
        log_flush_count=log.get("flush_count", 0),
        log_replayed_count=log.get("replayed_count", 0),
    )
    if checkpoint.get("time_ns"):
        durability.checkpoint_time.FromNanoseconds(checkpoint["time_ns"])
    return durability


def written_today(reports: Reports) -> int:
    """Return the bytes written to the medium today: checkpoints, snapshots and the log of samples."""
    log = reports.front.get("log") or _NOTHING
    return int(reports.trainer.get("written_today_bytes", 0) + log.get("written_today_bytes", 0))
