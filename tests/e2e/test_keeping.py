"""Everything is killed at once, again and again: with the log nothing is lost, without it what is lost is counted."""

from __future__ import annotations

import random

import pytest

from tests.e2e.daemon import check_books

SMALL_LOG = {"ingest.durable": True, "ingest.log_bytes": 1 << 18, "ingest.max_message_bytes": 1 << 16}


def survive_kills(daemon, producers, kills: int, seed: int) -> None:
    """Kill everything at random points of a stream, and compare the books in the end."""
    chance = random.Random(seed)
    producer = producers(daemon.start())
    taken = 0
    for _ in range(kills):
        wanted = taken + chance.choice((1, 200, 2000))
        seen = daemon.until(lambda training, wanted=wanted: training.sample_ledger.pushed_count >= wanted)
        taken = seen.sample_ledger.pushed_count
        daemon.kill_all()
        daemon.start()
    daemon.until(lambda training: training.round_count > 5)
    totals = producer.finish()
    assert totals.accepted > 0
    training = daemon.quiet()
    check_books(training, totals, lost=0)
    assert training.sample_ledger.shed_count == 0, "checkpoints have not made room in the log"
    assert daemon.stop() == 0
    daemon.start()
    check_books(daemon.until(lambda training: training.state == "waiting"), totals, lost=0)
    assert daemon.stop() == 0


def test_with_the_log_every_acknowledged_sample_survives_the_end_of_all_processes(daemons, producers):
    survive_kills(daemons(SMALL_LOG), producers, kills=3, seed=0)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(5))
def test_with_the_log_it_does_so_however_often(daemons, producers, seed):
    survive_kills(daemons(SMALL_LOG), producers, kills=20, seed=seed)


def test_without_the_log_what_is_lost_is_counted_to_the_sample(daemons):
    daemon = daemons().start()
    totals = daemon.push(700)
    daemon.until(lambda training: training.round_count > 0)
    daemon.kill_all()
    daemon.start()
    training = daemon.until(lambda training: training.state in ("waiting", "active"))
    check_books(training, totals, lost=700)
    assert "700 samples" in next(item.message for item in training.health if item.code == "SAMPLES_LOST")
    daemon.push(300, seed=1)
    ledger = daemon.quiet().sample_ledger
    assert (ledger.pushed_count, ledger.lost_count, ledger.is_balanced) == (1000, 700, True)
    assert daemon.stop() == 0
    daemon.start()
    ledger = daemon.until(lambda training: training.state == "waiting").sample_ledger
    assert (ledger.pushed_count, ledger.lost_count, ledger.is_balanced) == (1000, 700, True)
    assert daemon.stop() == 0
