"""Keeping: what an earlier daemon wrote down is put back before the first stream opens, and the log is looked after."""

from __future__ import annotations

import threading
from typing import Any

import grpc

from titand.clock import Clock
from titand.errors import CorruptFile, WorkerDown
from titand.front.high_water import HighWater
from titand.front.sample_log import SampleLog
from titand.runtime.ledger import Ledger
from titand.runtime.log import Log
from titand.runtime.log_records import CORRECTED, LABELLED

ROOM_SECONDS = 0.01  # between two looks for free slots
LOOK_SECONDS = 0.1  # between two looks at whether who waits is still there


class Keeping:
    """Replays the log through the arena, as room comes, and lets acknowledgements wait for the medium. Thread-safe.

    Args:
        ledger: into which the changes are made again.
        samples: the log.
        marks: how far numbers were given.
        clock: stamps.
        log: lines for people.
    """

    def __init__(self, ledger: Ledger, samples: SampleLog, marks: HighWater, clock: Clock, log: Log) -> None:
        self._ledger = ledger
        self._samples = samples
        self._marks = marks
        self._clock = clock
        self._log = log
        self._lost: list[dict[str, Any]] = []
        self._waits_for_room = False
        self._replayed = threading.Event()
        self._stopping = threading.Event()
        self._replaying = threading.Thread(target=self._replay, name="replay", daemon=True)

    def start(self) -> None:
        """Read what was left, and begin to put it back."""
        self._samples.open()
        self._replaying.start()

    def stop(self) -> None:
        """Put nothing more back: it stays in the log. No number is given any more."""
        self._stopping.set()
        self._replaying.join()
        self._ledger.end_marks()

    def close(self) -> None:
        """Let go of the log, when nobody waits for it any more."""
        self._samples.close()

    def wait_for_replay(self, context: grpc.ServicerContext) -> None:
        """Return when everything is put back: only then it is known where each stream stands.

        Raises:
            WorkerDown: DAEMON_STOPPING, or the caller has left.
        """
        while not self._replayed.wait(LOOK_SECONDS):
            if self._stopping.is_set() or not context.is_active():
                raise WorkerDown(
                    "DAEMON_STOPPING", "The daemon is going down.", "Connect again and go on where the stream stood."
                )

    def flush(self) -> None:
        """Return when everything that was settled before is as durable as it is going to be."""
        self._samples.flush()

    def beat(self) -> None:
        """Look after the log, once it is read."""
        if self._replayed.is_set():
            self._samples.beat()

    def to_plain(self) -> dict[str, Any]:
        """Return what the board says."""
        return self._samples.to_plain()

    def health(self) -> list[dict[str, Any]]:
        """Return what people should know."""
        items = [*self._samples.health(), *self._lost]
        if self._waits_for_room and not self._replayed.is_set():
            text = "Samples come back from the log as room comes; streams wait. See SAMPLES in titanctl status."
            items = [*items, {"code": "REPLAYING", "severity": "warning", "message": text, "since_ns": 0}]
        return items

    def _replay(self) -> None:
        try:
            if not self._put_back():
                return
        except Exception as error:  # nothing in a log may keep every producer waiting for ever
            self._samples.put_aside(
                CorruptFile("LOG_CORRUPT", f"Not everything in it could be put back: {error!r}.", "Report it.")
            )
        self._settle()
        if self._samples.replayed_count:
            self._log.info("samples are back from the log", count=self._samples.replayed_count)
        self._replayed.set()

    def _put_back(self) -> bool:
        """Make again what is in the log; return whether it was done, or else broken off by the end of the front."""
        known = self._ledger.logged
        corrections: dict[int, int] = {}
        for sequence, record in self._samples.records():
            if sequence > known and record.kind in (LABELLED, CORRECTED):
                corrections.update(zip(record.columns.times, record.columns.labels, strict=True))
        self._ledger.begin_replay(corrections)
        for sequence, record in self._samples.records():
            while not self._ledger.replay(sequence, record):
                self._waits_for_room = True
                if self._stopping.wait(ROOM_SECONDS):
                    return False
            if sequence > known:
                self._samples.replayed_count += record.sample_count
        return True

    def _settle(self) -> None:
        """Count what was accepted and has not come back."""
        known = self._marks.reached()
        reached = (known.shed, known.rejected, known.accepted) if known is not None else (0, 0, 0)
        lost = self._ledger.end_replay(self._samples.newest_sequence, reached)
        self._ledger.begin_marks(self._marks)
        if known is None or not lost:
            return
        bound = "" if known.is_exact else "At most "
        self._log.warning("samples are lost", count=lost, exact=known.is_exact)
        text = (
            f"{bound}{lost:,} samples that came after the last checkpoint are lost with the end of all processes."
            " ingest.durable = true keeps every one."
        )
        self._lost = [
            {"code": "SAMPLES_LOST", "severity": "warning", "message": text, "since_ns": self._clock.wall_ns()}
        ]
