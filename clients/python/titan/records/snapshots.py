"""Snapshots and the files that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from titan.records.guard import Gate
from titan.records.samples import TensorSpec


@dataclass(frozen=True)
class ModelFile:
    """A file of a snapshot: format "safetensors" or "pt2", its SHA-256 as hex."""

    format: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """Trained parameters with their origin."""

    name: str
    note: str
    round_number: int
    create_time: datetime | None
    files: tuple[ModelFile, ...]
    architecture: str
    input_spec: TensorSpec | None
    labels: tuple[str, ...]
    metrics: Mapping[str, float]
    parent: str
    titand_version: str
    manifest_json: str
    gate: Gate | None = None

    def has_file(self, format: str) -> bool:
        """Whether the file of a format is ready."""
        return any(file.format == format for file in self.files)


@dataclass(frozen=True)
class Export:
    """A model file that was downloaded and verified."""

    path: str
    snapshot: Snapshot
    file: ModelFile
