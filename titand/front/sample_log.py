"""The log of samples: what a producer was told survives the end of every process, and of the power.

The ledger writes each change down here before it makes it; an acknowledgement waits for the flush that covers what it
says. When everything has died, the daemon restores the newest checkpoint, and the front makes again what was written
down since. A checkpoint that has it lets its space be written over.

A file that has failed is given up for a new one, and until a checkpoint has what was in doubt, samples are taken as
without a log: said in the health list, with since when. What was left is another matter: as long as it cannot be read,
nobody knows where streams stand and which numbers are given, so nothing begins before it can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from titand.clock import Clock
from titand.errors import CorruptFile, StorageError, TitanError
from titand.runtime.log import Log
from titand.runtime.log_records import Buffer, LogRecord, decode
from titand.storage.files import refusals_of, sync_folder
from titand.storage.ring_file import SECTOR_BYTES, record_bytes
from titand.storage.ring_log import RingLog
from titand.storage.wear import DailyBytes

FILES = "samples-*.ring"
SPARE_BYTES = 1 << 18  # kept for refusals and labels when samples find no room any more
WANTED_SHARE = 0.5  # of the log, in use, at which a checkpoint is asked for
RETRY_SECONDS = 10.0
REFUSED_FOR_GOOD = ("LOG_OF_OTHER_SAMPLES", "FORMAT_TOO_NEW")  # the disk has nothing to do with it


class SampleLog:
    """The log, over as many files as it takes. Thread-safe.

    Args:
        folder: must exist; what an earlier daemon left there is read.
        capacity_bytes: of the log; 0 writes none, and only reads what was left.
        samples: fingerprint of what is in it: another kind's log is not touched.
        covered: returns the newest sequence that a durable checkpoint has.
        clock: stamps troubles and spaces attempts.
        log: lines for people.
    """

    def __init__(
        self, folder: Path, capacity_bytes: int, samples: str, covered: Callable[[], int], clock: Clock, log: Log
    ) -> None:
        self._folder = folder
        self._capacity_bytes = capacity_bytes // SECTOR_BYTES * SECTOR_BYTES
        self._samples = samples
        self._ask_covered = covered
        self._known_covered = 0
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._ring: RingLog | None = None
        self._old: list[RingLog] = []  # until a checkpoint has what they hold
        self._newest = 0
        self._doubtful = 0  # up to here, durable only once a checkpoint has it
        self._is_read = False  # before that, no new file: its sequences would be those of records still unread
        self._trouble: TitanError | None = None
        self._since_ns = self._tried_ns = 0
        self._flushes = self._bytes = 0  # of rings that are gone
        self._daily, self._counted_bytes = DailyBytes(clock), 0
        self._set_aside: list[dict[str, Any]] = []

    # ---- starting

    def open(self) -> None:
        """Find what was left, and begin to write; a disk that refuses to be written is a trouble and ends nothing.

        Raises:
            StorageError: what was left cannot be read now. It is as it was: call again later.
        """
        self.close()
        try:
            for path in self._paths():
                self._open_old(path)
        except StorageError as error:
            if error.reason not in REFUSED_FOR_GOOD:
                raise
            self.give_up(error)
            return
        self._is_read = True
        if self._old and self._old[-1].capacity_bytes == self._capacity_bytes:
            self._ring = self._old.pop()
        self._newest = max((ring.newest_sequence for ring in self._rings()), default=0)
        if self._ring is None and self._capacity_bytes:
            try:
                self._ring = self._create()
            except StorageError as error:
                self.give_up(error)

    def records(self) -> Iterator[tuple[int, LogRecord]]:
        """Yield what was left, oldest first; to be read before anything is appended.

        Raises:
            StorageError: it cannot be read now; open again later.
        """
        for ring in self._rings():
            for sequence, payload in ring.recovered():
                yield sequence, decode(payload)

    def put_aside(self, error: TitanError) -> None:
        """Keep all files that were found as evidence of this error, and begin a new one."""
        with self._lock:
            for ring in self._rings():
                self._set_aside.append(self._put_aside(ring.path, error))
                ring.close()
            self._old, self._ring = [], None
            self._doubtful = self._newest
            self.give_up(error)

    @property
    def newest_sequence(self) -> int:
        """Sequence of the newest record, read or not."""
        return self._newest

    # ---- what the ledger and the streams call

    def append(self, sequence: int, parts: Sequence[Buffer], with_samples: bool) -> bool:
        """See `titand.runtime.keepers.RecordLog`."""
        with self._lock:
            self._newest = sequence
            if self._ring is None:
                self._doubtful = sequence
                return True
            wanted = record_bytes(sum(memoryview(part).nbytes for part in parts))
            spare = min(SPARE_BYTES, self._capacity_bytes // 8) if with_samples else 0
            try:
                if wanted + spare > self._ring.free_bytes:
                    self._ring.release(self._covered())
                if wanted + spare > self._ring.free_bytes:
                    return False
                self._ring.append(sequence, parts)
            except StorageError as error:
                self._fail(self._ring, error)
            return True

    def flush(self) -> None:
        """Return when all that was appended before is on the medium, or it is known and said that it is not."""
        ring = self._ring
        if ring is None:
            return
        try:
            ring.flush()
        except StorageError as error:
            with self._lock:
                self._fail(ring, error)

    # ---- what the front's beat calls

    def close(self) -> None:
        """Let go of the files; nothing is appended or flushed any more."""
        with self._lock:
            for ring in self._rings():
                ring.close()
            self._old, self._ring = [], None

    def beat(self) -> None:
        """Let go of what checkpoints have, and begin a new file in the place of one that failed."""
        covered = self._covered()
        with self._lock:
            try:
                for ring in [ring for ring in self._old if ring.newest_sequence <= covered]:
                    self._remove(ring)
                if self._ring is not None:
                    self._ring.release(covered)
                elif self._capacity_bytes and self._is_time():
                    self._ring = self._create()
            except StorageError as error:
                self._fail(self._ring, error)
            if self._trouble is not None and self._ring is not None and covered >= self._doubtful:
                self._log.info("samples are durable again", since=self._ring.path.name)
                self._trouble = None

    def to_plain(self) -> dict[str, Any]:
        """Return what the board says, and what the trainer asks it for."""
        ring, trouble = self._ring, self._trouble
        rings = self._rings()
        used = ring.used_bytes if ring is not None else 0
        return {
            "size_bytes": ring.capacity_bytes if ring is not None else 0,
            "used_bytes": used,
            "covered_sequence": self._covered(),
            "flush_count": self._flushes + sum(each.flush_count for each in rings),
            "written_today_bytes": self._written_today(),
            "keeps_samples": ring is not None and trouble is None,
            "is_checkpoint_urgent": trouble is not None and ring is not None,
            "is_checkpoint_wanted": ring is not None and used > WANTED_SHARE * ring.capacity_bytes,
        }

    def health(self) -> list[dict[str, Any]]:
        """Return what people should know."""
        if self._trouble is None:
            return self._set_aside
        text = (
            f"Samples are not durable until a checkpoint has them: {self._trouble} They are taken, and survive the"
            " death of any process, but not that of the machine."
        )
        item = {"code": "NOT_DURABLE", "severity": "error", "message": text, "since_ns": self._since_ns}
        return [*self._set_aside, item]

    # ---- inside

    def _written_today(self) -> int:
        with self._lock:
            written = self._bytes + sum(ring.written_bytes for ring in self._rings())
            self._daily.add(written - self._counted_bytes)
            self._counted_bytes = written
            return self._daily.today

    def _covered(self) -> int:
        self._known_covered = max(self._known_covered, self._ask_covered())
        return self._known_covered

    def _rings(self) -> list[RingLog]:
        return [*self._old, *([self._ring] if self._ring is not None else [])]

    def _paths(self) -> list[Path]:
        with refusals_of(self._folder):  # no glob: from Python 3.13 on it takes a folder that it cannot read for empty
            return sorted(path for path in self._folder.iterdir() if path.match(FILES))

    def _open_old(self, path: Path) -> None:
        try:
            ring = RingLog.open(path)
        except CorruptFile as error:
            self._set_aside.append(self._put_aside(path, error))
            return
        if ring.about.get("samples") != self._samples:
            ring.close()
            raise StorageError(
                "LOG_OF_OTHER_SAMPLES",
                f"{path}: the samples in it are of another kind than the configured ones.",
                "Give this model its own service.state_directory, or move the file away.",
                {"path": str(path)},
            )
        self._old.append(ring)

    def _put_aside(self, path: Path, error: TitanError) -> dict[str, Any]:
        number = 1
        while (target := path.with_name(f"{path.name}.broken-{number}")).exists():
            number += 1
        with refusals_of(path):
            path.rename(target)
            sync_folder(self._folder)
        self._log.error("a damaged log of samples was set aside", path=target, defect=error.message)
        text = f"{target.name}: {error.message} What was in it and in no checkpoint is lost. Look at the disk."
        return {"code": "LOG_SET_ASIDE", "severity": "error", "message": text, "since_ns": self._clock.wall_ns()}

    def _create(self) -> RingLog:
        newest = max((int(path.stem.split("-")[1]) for path in self._paths()), default=0)
        path = self._folder / f"samples-{newest + 1:010}.ring"
        return RingLog.create(path, self._capacity_bytes, {"samples": self._samples})

    def _fail(self, ring: RingLog | None, error: TitanError) -> None:
        if ring is not None and ring is self._ring:
            self._old.append(ring)
            self._ring = None
            self._doubtful = self._newest
        self.give_up(error)

    def give_up(self, error: TitanError) -> None:
        """Say that samples are not durable until a checkpoint has everything."""
        if self._trouble is None:
            self._since_ns = self._clock.wall_ns()
            self._log.error("samples are not durable", reason=error.reason, message=str(error))
        self._trouble = error
        self._tried_ns = self._clock.monotonic_ns()

    def _is_time(self) -> bool:
        return self._is_read and self._clock.monotonic_ns() - self._tried_ns > RETRY_SECONDS * 1e9

    def _remove(self, ring: RingLog) -> None:
        self._old.remove(ring)
        self._flushes += ring.flush_count
        self._bytes += ring.written_bytes
        with refusals_of(ring.path):
            ring.path.unlink(missing_ok=True)
        ring.close()
