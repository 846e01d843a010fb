"""Snapshots that are quickly made and quickly damaged."""

from __future__ import annotations

from pathlib import Path

from titand.records import ModelSpec, TensorSpec
from titand.storage.manifests import Snapshot
from titand.storage.snapshots import SnapshotStore

MODEL = ModelSpec(
    architecture="tiny",
    input=TensorSpec("uint8", (1, 8, 8)),
    labels=("null", "één"),
    scale=1 / 255,
    mean=(0.5,),
    std=(0.25,),
    options={"width": 0.25},
)


def create(store: SnapshotStore, round: int, contents: bytes | None = None, **facts) -> Snapshot:
    """Make the snapshot of a round, whose number is its time too."""
    contents = f"parameters of round {round}".encode() if contents is None else contents
    return store.create(round, [contents], model=MODEL, create_time_ns=1_700_000_000_000_000_000 + round, **facts)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Let one bit of a file rot."""
    contents = bytearray(path.read_bytes())
    contents[offset] ^= 1 << bit
    path.write_bytes(contents)
