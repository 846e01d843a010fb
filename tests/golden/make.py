"""Writes the golden files of the present formats: what today's code keeps, for every later one to read.

    python -m tests.golden.make

Run it when a format gets a new version, and commit what it writes beside what is there. Files of a version that is
released are never written again: the script leaves those alone that exist.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from array import array
from pathlib import Path

from tests.workers.pair import Pair, Plan
from titand.clock import SystemClock
from titand.runtime.log_records import (
    ADMITTED,
    LABELLED,
    NO_COLUMNS,
    PENDING,
    REFUSED,
    Columns,
    DoorCounts,
    LogRecord,
)
from titand.runtime.stream_table import StreamPosition
from titand.storage.formats import BUNDLE, LOG, MANIFEST
from titand.storage.ring_log import RingLog
from titand.storage.snapshots import SnapshotStore
from titand.storage.tensors import encode_tensors
from titand.workers.assembly import selector_state_bytes
from titand.workers.checkpoints import CheckpointFacts, CheckpointWriter, model_fingerprint, sample_fingerprint
from titand.workers.resuming import batch_to_plain

FOLDER = Path(__file__).parent
ROUNDS = 12
PLAN = Plan(
    rule="predicted", weight_exponent=0.25, full_contradiction=0.1, batch_size=4, candidates=8, round_samples=16,
    micro_batch=5, held_out_ratio=0.2, held_out_samples=6, evaluate_every=3, momentum=0.9, learning_rate=0.05,
    slot_count=96,
)  # fmt: skip
RECORDS = (
    LogRecord(
        ADMITTED, DoorCounts(3, 0, 0, 3, 0), "camera", StreamPosition(3, 3, 0, 0), 1_700_000_000_000_000_000,
        Columns(memoryview(array("i", [0, 1, 2])), memoryview(array("q", [10, 20, 30])), memoryview(bytes(range(12)))),
    ),
    LogRecord(REFUSED, DoorCounts(6, 1, 2, 3, 0), "camera", StreamPosition(6, 3, 2, 1)),
    LogRecord(
        PENDING, DoorCounts(7, 1, 2, 4, 0), "", StreamPosition(), 1_700_000_000_000_000_001,
        Columns(memoryview(array("i", [-1])), NO_COLUMNS.times, memoryview(b"late")),
    ),
    LogRecord(
        LABELLED, DoorCounts(7, 1, 2, 4, 0),
        columns=Columns(memoryview(array("i", [2])), memoryview(array("q", [4])), NO_COLUMNS.data),
    ),
)  # fmt: skip


def main() -> None:
    """Write what is missing."""
    pair = _lived()
    bundle, snapshot, log = (
        FOLDER / f"checkpoint-{BUNDLE.version}.bundle",
        FOLDER / f"snapshot-{MANIFEST.version}",
        FOLDER / f"samples-{LOG.version}.ring",
    )
    with tempfile.TemporaryDirectory() as folder:
        if not bundle.exists():
            _write_bundle(pair, Path(folder))
            shutil.move(next(Path(folder).glob("*.bundle")), bundle)
            counts = dataclasses.asdict(pair.ledger.counts())
            text = json.dumps({"version": pair.trainer.version, "counts": counts}, indent=2)
            bundle.with_suffix(".json").write_text(text + "\n")
        if not snapshot.exists():
            snapshot.mkdir()
            _write_snapshot(pair, snapshot)
        if not log.exists():
            _write_log(log)
    pair.close()


def _lived() -> Pair:
    """A pair with a past, stopped where most is open: a window, and a batch that is not trained on."""
    pair = Pair(PLAN)
    pair.ledger.open_stream("camera", frozenset())
    pair.start()
    for _ in range(ROUNDS):
        pair.round()
    pair.feed(40)
    pair.filter()
    pair.select()
    pair.feed(7)
    pair.filter()
    pair.feed(3)
    return pair


def _write_bundle(pair: Pair, folder: Path) -> None:
    writer = CheckpointWriter(folder, pair.arena, 10**9, 60.0, SystemClock())
    config = pair.config
    facts = CheckpointFacts(
        pair.trainer.version,
        model_fingerprint(config),
        sample_fingerprint(config),
        paused=False,
        clean=True,
        batch=batch_to_plain(pair.batch, pair.arena),
    )
    state = pair.trainer.state()
    assert writer.write(facts, state, selector_state_bytes(pair.selector, with_window=True), memoryview(bytes(state)))


def _write_snapshot(pair: Pair, folder: Path) -> None:
    SnapshotStore(folder).create(
        pair.trainer.version,
        encode_tensors(pair.trainer.model_tensors()),
        model=pair.spec,
        create_time_ns=1_700_000_000_000_000_000,
        metrics={"held_out_accuracy": 0.5},
        note="golden",
    )


def _write_log(path: Path) -> None:
    log = RingLog.create(path, 8192, {"samples": "golden"})
    for sequence, record in enumerate(RECORDS, 1):
        log.append(sequence, record.encode())
        log.flush()
    log.close()


if __name__ == "__main__":
    main()
