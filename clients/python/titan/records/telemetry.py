"""Readings of the board, and of the daemon's share of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Measurement:
    """One value, where it comes from, and how old it was when the reading was put together."""

    value: float
    source: str
    age_seconds: float
    kind: str


@dataclass(frozen=True)
class Board:
    """What the daemon runs on; kind is "jetson" or "generic"."""

    model: str
    kind: str
    l4t: str


@dataclass(frozen=True)
class ProcessUsage:
    """What one process of the daemon takes; shared pages are divided among their sharers."""

    name: str
    pid: int
    pss_bytes: int
    pss_anon_bytes: int
    pss_shared_bytes: int
    cpu_ratio: float
    thread_count: int
    descriptor_count: int


@dataclass(frozen=True)
class Source:
    """Where values come from, and why it does not deliver, if so."""

    name: str
    up: bool
    age_seconds: float
    detail: str
    version: str


@dataclass(frozen=True)
class Telemetry:
    """One reading of the board and the daemon's share of it. What cannot be measured is absent."""

    read_time: datetime | None
    board: Board | None
    values: Mapping[str, Measurement]
    rail_power_watts: Mapping[str, Measurement]
    temperatures_celsius: Mapping[str, Measurement]
    fan_speed_ratios: Mapping[str, Measurement]
    processes: tuple[ProcessUsage, ...]
    sources: tuple[Source, ...]
