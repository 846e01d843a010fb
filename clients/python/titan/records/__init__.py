"""What the daemon tells, as plain frozen data.

Times are datetimes in UTC, durations seconds, enum values lower-case names. None means unknown or absent, never 0.
"""

from __future__ import annotations

from titan.records.guard import Comparison, Confusion, Gate, Guard, Rollback
from titan.records.samples import ITEM_BYTES, AcceptedRun, PushTotals, Refusal, Sample, SuspectSample, TensorSpec
from titan.records.snapshots import Export, ModelFile, Snapshot
from titan.records.telemetry import Board, Measurement, ProcessUsage, Source, Telemetry
from titan.records.training import (
    Daemon,
    Durability,
    Evaluation,
    HealthItem,
    Model,
    Process,
    PushStream,
    Round,
    SampleLedger,
    Selection,
    StageLatency,
    Training,
)

__all__ = [
    "ITEM_BYTES",
    "AcceptedRun",
    "Board",
    "Comparison",
    "Confusion",
    "Daemon",
    "Durability",
    "Evaluation",
    "Export",
    "Gate",
    "Guard",
    "HealthItem",
    "Measurement",
    "Model",
    "ModelFile",
    "Process",
    "ProcessUsage",
    "PushStream",
    "PushTotals",
    "Refusal",
    "Rollback",
    "Round",
    "Sample",
    "SampleLedger",
    "Selection",
    "Snapshot",
    "Source",
    "StageLatency",
    "SuspectSample",
    "Telemetry",
    "TensorSpec",
    "Training",
]
