"""Keeping: what an earlier daemon wrote down is put back before the first stream opens, and the log is looked after."""

from __future__ import annotations

import threading
from itertools import chain, repeat
from typing import Any

import grpc

from titand.clock import Clock
from titand.errors import CorruptFile, StorageError, WorkerDown
from titand.front.high_water import HighWater
from titand.front.sample_log import SampleLog
from titand.runtime.ledger import Ledger
from titand.runtime.log import Log
from titand.runtime.log_records import CORRECTED, LABELLED

ROOM_SECONDS = 0.01  # between two looks for free slots
LOOK_SECONDS = 0.1  # between two looks at whether who waits is still there
RETRY_SECONDS = (0.2, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # after the first, second, ... try to read; then the last


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
        self._unreadable: dict[str, Any] | None = None
        self._replayed = threading.Event()
        self._stopping = threading.Event()
        self._replaying = threading.Thread(target=self._replay, name="replay", daemon=True)

    def start(self) -> None:
        """Begin to read what was left, and to put it back."""
        self._replaying.start()

    def stop(self) -> None:
        """Put nothing more back: it stays in the log. No number is given any more."""
        self._stopping.set()
        self._replaying.join()
        self._ledger.end_marks()

    def close(self) -> None:
        """Let go of the log, when nobody waits for it any more."""
        self._samples.close()

    @property
    def is_replayed(self) -> bool:
        """Whether everything is put back."""
        return self._replayed.is_set()

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

    @property
    def is_readable(self) -> bool:
        """Whether streams have no need to wait for the disk."""
        return self._unreadable is None

    def to_plain(self) -> dict[str, Any]:
        """Return what the board says."""
        return {**self._samples.to_plain(), "replayed_count": self._ledger.replayed_count}

    def health(self) -> list[dict[str, Any]]:
        """Return what people should know."""
        items = [*self._samples.health(), *self._lost, *([self._unreadable] if self._unreadable is not None else [])]
        if self._waits_for_room and not self._replayed.is_set():
            text = "Samples come back from the log as room comes; streams wait. See SAMPLES in titanctl status."
            items = [*items, {"code": "REPLAYING", "severity": "warning", "message": text, "since_ns": 0}]
        return items

    def _replay(self) -> None:
        before = self._ledger.replayed_count
        for delay_seconds in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                if not self._read():
                    return
                break
            except StorageError as error:
                self._say_unreadable(error)
            if self._stopping.wait(delay_seconds):
                return
        self._unreadable = None
        self._settle()
        if count := self._ledger.replayed_count - before:
            self._log.info("samples are back from the log", count=count)
        self._replayed.set()

    def _read(self) -> bool:
        """Put back what was left; return whether it was done, or else broken off by the end of the front."""
        self._samples.open()
        try:
            return self._put_back()
        except StorageError:
            raise
        except Exception as error:  # nothing in a log may keep every producer waiting for ever
            self._samples.put_aside(
                CorruptFile("LOG_CORRUPT", f"Not everything in it could be put back: {error!r}.", "Report it.")
            )
            return True

    def _say_unreadable(self, error: StorageError) -> None:
        if self._unreadable is None:
            self._log.error("the log of samples cannot be read", reason=error.reason, message=str(error))
        since_ns = self._unreadable["since_ns"] if self._unreadable is not None else self._clock.wall_ns()
        text = (
            f"Streams wait, for samples that were acknowledged cannot be read: {error} It is tried again by itself;"
            " move the file away to go on without them."
        )
        self._unreadable = {"code": "LOG_UNREADABLE", "severity": "error", "message": text, "since_ns": since_ns}

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


def still_replaying() -> WorkerDown:
    """Return the refusal of what cannot be answered before everything is put back."""
    return WorkerDown("REPLAYING", "Samples are still coming back from the log; nothing was done.", "Ask again.")
