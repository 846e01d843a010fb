"""Whatever process is killed or hangs, under load: it is back by itself, and no acknowledged sample is lost."""

from __future__ import annotations

import os
import random
import signal
import time

import psutil
import pytest

from tests.e2e.daemon import SECONDS, WORKERS, check_books, process_of

HANG_SECONDS = 3.0


@pytest.fixture(scope="module")
def daemon(daemons):
    # Readings are rarer than a hang may last: that is no hang.
    daemon = daemons({"service.hang_seconds": HANG_SECONDS, "telemetry.interval_seconds": 4 * HANG_SECONDS}).start()
    daemon.pushed = [daemon.push(500)]
    daemon.quiet()
    return daemon


def pid_of(training, name: str) -> int:
    return process_of(training, name).pid


def is_back(training, name: str, before) -> bool:
    """Whether a process has a successor, and so have those that end with it."""
    together = {name, *WORKERS} if name in (*WORKERS, "zygote") else {name}
    return all(pid_of(training, each) not in (0, pid_of(before, each)) for each in together)


def check_all_books(daemon) -> None:
    """Check the ledger against the sum of what all producers so far were told."""
    training = daemon.quiet()
    ledger = training.sample_ledger
    assert ledger.is_balanced
    assert ledger.lost_count == 0
    assert ledger.pushed_count == sum(totals.pushed for totals in daemon.pushed)
    told = sum(totals.accepted for totals in daemon.pushed)
    unheard = sum(totals.unreported for totals in daemon.pushed)
    accepted = ledger.pushed_count - ledger.shed_count - ledger.rejected_count
    assert told <= accepted <= told + unheard


def survive(daemon, producers, name: str, number: int) -> None:
    """Send a signal to a process under load, and wait until rounds go on without it."""
    producer = producers(daemon)
    before = daemon.until(lambda t: t.state == "active" and pid_of(t, name) and t.streams)
    old = pid_of(before, name)
    os.kill(old, number)
    back = daemon.until(lambda training: is_back(training, name, before))
    assert back.round_count >= before.round_count, "rounds were lost"
    daemon.until(lambda t: t.round_count > max(before.round_count, back.round_count) + 5)
    daemon.pushed.append(producer.finish())
    assert daemon.pushed[-1].accepted > 0
    after = process_of(daemon.training(), name)
    assert after.restart_count == process_of(before, name).restart_count + 1
    assert not psutil.pid_exists(old)
    check_all_books(daemon)


@pytest.mark.parametrize("name", ["selector", "trainer", "front", "zygote", "telemetry"])
def test_a_killed_process_is_back_and_nothing_is_lost(daemon, producers, name):
    survive(daemon, producers, name, signal.SIGKILL)
    how = f"{name} killed by SIGKILL" if name in WORKERS else "killed by SIGKILL"
    assert process_of(daemon.training(), name).last_exit == how


@pytest.mark.parametrize("name", ["selector", "front", "telemetry"])
def test_a_process_that_hangs_is_ended_and_back(daemon, producers, name):
    survive(daemon, producers, name, signal.SIGSTOP)
    training = daemon.training()
    assert "hung" in process_of(training, name).last_exit
    assert any(f"{name} hung" in item.message or "(hung" in item.message for item in training.health)
    assert f"hung, killed process={name}" in daemon.log()


def test_a_zygote_that_hangs_is_ended_when_a_worker_needs_it(daemon, producers):
    producer = producers(daemon)
    before = daemon.until(lambda t: t.state == "active" and pid_of(t, "trainer") and t.streams)
    os.kill(pid_of(before, "zygote"), signal.SIGSTOP)
    os.kill(pid_of(before, "trainer"), signal.SIGKILL)
    daemon.until(lambda training: is_back(training, "zygote", before))
    daemon.until(lambda training: training.round_count > before.round_count + 5)
    daemon.pushed.append(producer.finish())
    assert process_of(daemon.training(), "zygote").last_exit == "hung and was killed by SIGKILL"
    assert daemon.log().count("hung, killed process=trainer") == 1
    check_all_books(daemon)


def test_rounds_are_one_behind_but_for_the_first_after_each_restart(daemon):
    training = daemon.quiet()
    restarts = process_of(training, "trainer").restart_count
    counts = training.selection.staleness_round_counts
    assert len(counts) == 2
    assert 1 <= counts[0] <= 1 + restarts
    assert counts[1] > 5


def test_when_the_supervisor_is_killed_nothing_is_left_running_and_a_new_one_takes_over(daemon, producers):
    before = daemon.quiet()
    producer = producers(daemon)
    daemon.until(lambda training: training.round_count > before.round_count)
    family = daemon.family()
    assert len(family) >= 6
    daemon.signal(signal.SIGKILL)
    assert daemon.ended() == -signal.SIGKILL
    producer.give_up()
    _, alive = psutil.wait_procs(family, SECONDS)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []

    daemon.start()
    daemon.push(500, seed=9)
    after = daemon.until(lambda training: training.round_count > 0)
    assert after.daemon.pid == daemon.pid
    assert daemon.quiet().sample_ledger.is_balanced


def test_it_still_stops_in_order(daemon):
    assert daemon.stop() == 0


@pytest.mark.nightly
def test_a_minute_of_random_deaths_loses_nothing(daemons, producers):
    """Whoever dies or hangs next, and when, is left to chance; the seed is in the test's output."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    chance = random.Random(seed)
    daemon = daemons({"service.hang_seconds": HANG_SECONDS}).start()
    producer = producers(daemon)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        rounds = chance.randrange(1, 40)
        before = daemon.until(lambda t: all(pid_of(t, each) for each in ("front", "zygote", *WORKERS)))
        daemon.until(lambda t, least=before.round_count + rounds: t.round_count >= least)
        for name in chance.sample(["front", "zygote", "telemetry", *WORKERS], chance.randrange(1, 4)):
            number = signal.SIGKILL if chance.random() < 0.8 or name in ("zygote", "telemetry") else signal.SIGSTOP
            try:
                os.kill(pid_of(before, name), number)
            except ProcessLookupError:
                pass
    totals = producer.finish()
    check_books(daemon.quiet(), totals)
    assert daemon.stop() == 0
