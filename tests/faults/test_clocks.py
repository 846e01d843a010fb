"""The time of day jumps, as it does on a board without a battery: nothing that waits, ages or is counted minds."""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.e2e.daemon import health_of
from tests.faults.processes import family_of
from tests.faults.witness import witnessed

SOURCE = Path(__file__).with_name("clockshim.c")
CHECKPOINT_SECONDS = 0.5
MINUTE = timedelta(minutes=1)


class TimeOfDay:
    """The time of day of the processes that are started with its environment.

    Args:
        folder: for what is compiled.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler to make a clock with")
        shim, self._file = folder / "clockshim.so", folder / "offset"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", shim, SOURCE], check=True)
        self.environment = {"LD_PRELOAD": str(shim), "CLOCKSHIM_FILE": str(self._file)}
        self.jump(0)

    def jump(self, days: int) -> None:
        """Set it so many days off."""
        self._off = timedelta(days=days)
        self._file.write_text(str(days * 86_400))

    def is_about(self, moment: datetime | None) -> bool:
        """Tell whether it was this time within the last minute."""
        return moment is not None and abs(datetime.now(timezone.utc) + self._off - moment) < MINUTE


def test_a_time_of_day_that_jumps_disturbs_nothing(daemons, tally, tmp_path):
    today = TimeOfDay(tmp_path)
    changes = {"storage.checkpoint_seconds": CHECKPOINT_SECONDS, "storage.daily_bytes": 10**12}
    daemon = daemons(changes).start(**today.environment)
    begun = time.monotonic()
    with witnessed(daemon) as books:
        before = family_of(daemon.pid)
        for days in (1, -1, 400, -10_000, 0):
            today.jump(days)
            books.until(lambda: (training := books.look()) and today.is_about(training.read_time))
            books.go_on()
            telemetry = daemon.client.telemetry()
            assert today.is_about(telemetry.read_time)
            assert all(0 <= (each.age_seconds or 0) < 60 for each in telemetry.sources)
            made = daemon.client.create_snapshot()
            assert today.is_about(made.create_time)
            assert daemon.client.snapshot("latest").name == made.name
            assert health_of(daemon.training()) == set()
            tally["time of day set"] += 1
        assert family_of(daemon.pid) == before
        checkpoints = daemon.log().count("trainer: checkpoint version")
        assert 2 <= checkpoints <= 1 + (time.monotonic() - begun) / CHECKPOINT_SECONDS
    after = daemon.quiet()
    assert daemon.stop() == 0
    today.jump(-400)
    daemon.start(**today.environment)
    again = daemon.quiet()
    assert again.round_count == after.round_count
    assert again.sample_ledger == after.sample_ledger
    assert daemon.stop() == 0
