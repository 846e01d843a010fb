"""An orderly stop keeps everything, at whatever moment it comes; and the next start goes on from there."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

import titan
from tests.e2e.daemon import SECONDS, check_books, process_of


def kept(training):
    """What has to be the same after a restart; the rest is still on its way through the stages."""
    ledger = training.sample_ledger
    return training.round_count, ledger.pushed_count, ledger.shed_count, ledger.rejected_count, ledger.lost_count


def test_a_stop_under_load_ends_in_time_and_brings_everything_back(daemons, producers):
    daemon = daemons({"service.stop_seconds": 15.0}).start()
    daemon.push(1000)
    producer = producers(daemon)
    daemon.until(lambda training: training.round_count > 10 and training.state == "active")
    family = daemon.family()

    start = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - start < 15.0
    assert "checkpoint" in daemon.log()
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    daemon.start()
    totals = producer.finish()
    training = daemon.quiet()
    ledger = training.sample_ledger
    assert ledger.is_balanced
    assert ledger.lost_count == 0
    assert ledger.pushed_count == 1000 + totals.pushed

    daemon.client.pause("over the restart")
    before = daemon.until(lambda training: training.state == "paused")
    paused = daemon.push(200, seed=4)
    before = daemon.until(lambda t: t.sample_ledger.pushed_count == before.sample_ledger.pushed_count + paused.pushed)
    assert daemon.stop() == 0
    daemon.start()
    after = daemon.until(lambda training: training.state == "paused")
    assert kept(after) == kept(before)
    assert after.sample_ledger.is_balanced
    daemon.client.resume()
    daemon.push(200, seed=5)
    assert daemon.until(lambda training: training.round_count > before.round_count)
    assert daemon.stop() == 0


def test_samples_taken_before_the_workers_were_up_outlive_a_stop(daemons):
    daemon = daemons().start()
    totals = daemon.push(150)
    assert daemon.stop() == 0
    daemon.start()
    check_books(daemon.quiet(), totals)
    assert daemon.stop() == 0


def test_a_stop_does_not_wait_for_an_import_of_torch(daemons, tmp_path):
    endless = tmp_path / "torch"
    endless.mkdir()
    (endless / "__init__.py").write_text("import threading\nthreading.Event().wait()\n")
    daemon = daemons({"service.stop_seconds": 3600}).start(PYTHONPATH=str(tmp_path))
    totals = daemon.push(150)
    assert daemon.stop() == 0
    daemon.start()
    check_books(daemon.quiet(), totals)
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    "name", ["trainer", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("selector", "zygote"))]
)
def test_samples_outlive_a_stop_that_meets_a_dying_worker(daemons, name):
    daemon = daemons().start()
    totals = daemon.push(600)
    before = daemon.quiet()
    daemon.client.pause()
    daemon.until(lambda training: training.state == "paused")
    os.kill(process_of(before, name).pid, signal.SIGKILL)
    daemon.stop()
    daemon.start()
    after = daemon.until(lambda training: training.state == "paused")
    check_books(after, totals)
    assert kept(after) == kept(before)
    daemon.client.resume()
    assert daemon.stop() == 0


def test_a_worker_that_does_not_listen_does_not_hold_up_a_stop(daemons):
    daemon = daemons({"service.stop_seconds": 3.0}).start()
    totals = daemon.push(600)
    before = daemon.quiet()
    os.kill(process_of(before, "trainer").pid, signal.SIGSTOP)
    daemon.stop()
    daemon.start()
    after = daemon.quiet()
    check_books(after, totals)
    assert after.round_count >= before.round_count
    assert daemon.stop() == 0


def test_interrupt_from_the_keyboard_is_a_stop_too(daemons):
    daemon = daemons().start()
    daemon.until_log("takes samples")
    for each in daemon.family():
        each.send_signal(signal.SIGINT)  # a terminal tells the whole group
    assert daemon.ended() == 0


def test_clients_are_told_that_the_daemon_goes(daemons, producers):
    daemon = daemons().start()
    daemon.until(lambda training: training.state == "waiting")
    watch = daemon.client.watch_training()
    assert next(watch).state == "waiting"
    daemon.signal(signal.SIGTERM)
    with pytest.raises(titan.TitanError) as caught:
        list(watch)
    assert caught.value.reason in ("DAEMON_STOPPING", "CONNECTION_LOST", "SOCKET_MISSING", "CONNECTION_REFUSED")
    assert daemon.ended(SECONDS) == 0
