"""titan: push samples to titand, watch it learn, take the model home.

    import titan

    with titan.Client() as client:
        client.push(image, label)

Importing this loads nothing; the names below load what they need when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titan.aio import AsyncClient as AsyncClient
    from titan.client import Client as Client

_HOMES = {
    "client": ("Client",),
    "aio": ("AsyncClient",),
    "errors": ("CorruptFile", "InvalidSample", "TimedOut", "TitanError", "Unreachable"),
    "records": (
        "AcceptedRun", "Board", "Daemon", "Evaluation", "Export", "HealthItem", "Measurement", "Model", "ModelFile",
        "Process", "ProcessUsage", "PushStream", "PushTotals", "Refusal", "Round", "Sample", "SampleLedger",
        "Selection", "Snapshot", "Source", "StageLatency", "Telemetry", "TensorSpec", "Training",
    ),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'titan' has no attribute '{name}'")
    return getattr(importlib.import_module(f"titan.{_HOME_OF[name]}"), name)
