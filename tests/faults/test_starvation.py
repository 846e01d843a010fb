"""A process that gets no processor time is not one that hangs; one that is stopped is, however starved."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.e2e.daemon import WORKERS, process_of
from tests.faults.groups import group
from tests.faults.processes import family_of
from tests.faults.witness import LOOK_SECONDS, witnessed
from titand.clock import SystemClock
from titand.runtime.boards import Boards

HANG_SECONDS = 2.0
LOOKS = 60  # at somebody who is silent for longer: the supervisor looks too
SHARE = 0.001  # of one processor, for all of them together


def boards_of(supervisor: int) -> Boards:
    """Open the boards of a running daemon."""
    folder = Path(f"/proc/{supervisor}/fd")
    path = next(each for each in folder.iterdir() if "titand-boards" in os.readlink(each))
    descriptor = os.open(path, os.O_RDWR)
    try:
        return Boards(descriptor, SystemClock())
    finally:
        os.close(descriptor)


def test_a_starved_process_is_left_alone_and_a_stopped_one_is_not(daemons, tally):
    daemon = daemons({"service.hang_seconds": HANG_SECONDS}).start()
    with group("cpu", "cpu.cfs_quota_us cpu.max") as starved, witnessed(daemon) as books:
        boards, before = boards_of(daemon.pid), family_of(daemon.pid)
        watched = ("front", "telemetry", *WORKERS)
        starved.add(*(before[name] for name in watched))
        starved.limit_time(SHARE)
        silent_looks = 0
        while silent_looks < LOOKS:
            silence = max((boards.silence_ns(name) or 0) / 1e9 for name in watched)
            silent_looks += silence > HANG_SECONDS
            assert not daemon.ends_within(LOOK_SECONDS)
            assert family_of(daemon.pid) == before, daemon.log()
        os.kill(before["trainer"], signal.SIGSTOP)
        daemon.until_log("hung, killed process=trainer")
        starved.limit_time(None)
        books.go_on()
        assert process_of(daemon.training(), "trainer").last_exit == "trainer hung and was killed by SIGKILL"
    killed = re.findall("hung, killed process=([a-z]+)", daemon.log())
    # Ending takes time as well: a zygote that could not tell for too long that the trainer is gone was killed with it.
    assert killed in (["trainer"], ["trainer", "zygote"]), daemon.log()
    assert daemon.stop() == 0
    tally["starved of processor time"] += len(watched)
    tally["stopped while starved"] += 1
