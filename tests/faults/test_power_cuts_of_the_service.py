"""The power goes under a whole running daemon: what a producer was told is in the ledger of the next one."""

from __future__ import annotations

import random

import pytest

import titan
from tests.e2e.daemon import SECONDS, stream
from tests.faults.disks import mounted
from tests.faults.power_cuts import RecordedDisk

pytest.importorskip("torch", reason="the daemon's workers need torch")

TEARS = (4096, 512)
WINDOWS = 60
WINDOW = 100
SETTINGS = {
    "ingest.durable": True,
    "ingest.log_bytes": 1 << 20,
    "ingest.max_message_bytes": 1 << 14,
    "storage.checkpoint_seconds": 0.2,
    "storage.daily_bytes": 10**13,
}


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_what_was_acknowledged_outlives_the_power(tmp_path, daemons, tally):
    told = []  # (position on the disk, samples acknowledged by then)
    with RecordedDisk(tmp_path, 64) as disk:
        daemon = daemons({**SETTINGS, "service.state_directory": str(disk.folder)}).start()
        daemon.until(lambda training: training.state == "waiting")
        with titan.Client(daemon.address) as client:
            for x, label in stream(200 * WINDOWS, seed=1):
                client.push_batch(x[:WINDOW], label[:WINDOW])
                totals = client.flush(SECONDS)
                told.append((disk.position, totals.accepted))
        assert daemon.quiet().daemon.durability.keeps_samples
        requests = disk.requests()
        daemon.clean_up()
    dice = random.Random(1)
    for state in range(8):
        position = dice.randint(told[0][0], len(requests))
        acknowledged = max(accepted for place, accepted in told if place <= position)
        image = disk.cut(requests, position, TEARS[state % len(TEARS)], dice)
        with mounted(image, disk.folder) as folder:
            check(daemons({**SETTINGS, "service.state_directory": str(folder)}), acknowledged)
        tally["power cuts under a running daemon"] += 1


def check(daemon, acknowledged):
    """Start a daemon on what the cut has left: nothing is missing, and it goes on."""
    training = daemon.start().until(lambda training: training.state == "waiting")
    ledger = training.sample_ledger
    assert ledger.is_balanced
    assert ledger.lost_count == 0
    assert acknowledged <= ledger.pushed_count <= WINDOW * WINDOWS
    daemon.push(300, seed=2)
    daemon.until(lambda after: after.round_count > training.round_count)
    assert daemon.stop() == 0
