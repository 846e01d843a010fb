"""Labels that come after their samples, through the whole daemon: none is lost or goes astray, the sum is exact."""

from __future__ import annotations

import os
import random
import signal

import pytest

import titan
from tests.e2e.daemon import SECONDS, process_of, stream

BATCH = 10
CHANGES = {
    "training.batch_size": BATCH,
    "ingest.arena_bytes": 1 << 20,  # 16,384 samples, of which a quarter may wait for labels
    "ingest.label_patience_seconds": 3600.0,
}


@pytest.fixture(scope="module")
def daemon(daemons):
    return daemons(CHANGES).start()


def push_unlabelled(client, count, seed):
    """Push digits without their labels; return the label of each by the number it was given."""
    wanted = {}
    for xs, labels in stream(count, seed):
        places = client.push_batch(xs)
        client.flush(SECONDS)
        wanted |= {client.number_of(place): int(label) for place, label in zip(places, labels, strict=True)}
    assert None not in wanted
    return wanted


def label_in_random_order(client, wanted, numbers):
    """Label some of them, a few at a time; return what became of the labels."""
    outcomes = []
    for start in range(0, len(numbers), 37):
        some = numbers[start : start + 37]
        outcomes += client.label(some, [wanted[number] for number in some])
    return outcomes


def test_a_thousand_come_without_labels_nine_hundred_get_theirs_and_the_rest_expire(daemon):
    before = daemon.until(lambda training: training.state == "waiting").sample_ledger
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        wanted = push_unlabelled(client, 1000, seed=1)
        ledger = daemon.training().sample_ledger
        assert (ledger.pending_label_count, ledger.buffered_count) == (1000, 0)
        order = list(wanted)
        random.Random(2).shuffle(order)

        assert label_in_random_order(client, wanted, order[:900]) == ["joined"] * 900
        assert client.label([10**9, *order[:2]], [0, 1, 2])[0] == "unknown"

        ledger = daemon.quiet().sample_ledger
        assert ledger.is_balanced
        assert ledger.pending_label_count == 100
        assert ledger.pushed_count - before.pushed_count == 1000
        rest = ledger.held_out_count + ledger.filtered_count + ledger.evicted_count + ledger.buffered_count
        assert rest + ledger.selected_count == 900
        assert ledger.selected_count > 0
        assert client.sample(order[950]).fate == "pending_label"
        fates = {client.sample(number).fate for number in order[:900:10]}
        assert fates <= {"held_out", "filtered", "evicted", "candidate", "selected", "trained", "released", "waiting"}

        daemon.configure({"ingest.label_patience_seconds": 0.0})
        daemon.signal(signal.SIGHUP)
        ledger = daemon.until(lambda training: training.sample_ledger.expired_count == 100).sample_ledger
        assert ledger.is_balanced
        assert (ledger.pending_label_count, ledger.lost_count, ledger.rejected_count) == (0, 0, 0)
        assert client.sample(order[950]).fate == "expired"
        assert client.label([order[950]], [0]) == ["too_late"]
        assert daemon.training().sample_ledger.orphan_label_count > ledger.orphan_label_count
    daemon.configure(CHANGES)
    daemon.signal(signal.SIGHUP)


def test_samples_go_on_waiting_over_a_restart_and_the_death_of_the_front(daemon):
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        wanted = push_unlabelled(client, 200, seed=3)
    before = daemon.training().sample_ledger
    assert before.pending_label_count == 200
    assert daemon.stop() == 0
    daemon.start()
    training = daemon.until(lambda training: training.state == "waiting")
    assert training.sample_ledger.pending_label_count == 200
    os.kill(process_of(training, "front").pid, signal.SIGKILL)
    daemon.until(lambda t: process_of(t, "front").restart_count == 1)
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        order = list(wanted)
        random.Random(4).shuffle(order)
        assert label_in_random_order(client, wanted, order) == ["joined"] * 200
    ledger = daemon.quiet().sample_ledger
    assert ledger.is_balanced
    assert (ledger.pending_label_count, ledger.lost_count) == (0, 0)
    assert ledger.pushed_count == before.pushed_count


def test_a_correction_reaches_a_sample_that_is_still_here_and_says_when_it_is_too_late(daemon):
    daemon.quiet()
    daemon.client.pause()
    trained = daemon.until(lambda training: training.state == "paused").round_count * BATCH
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        wanted = push_unlabelled(client, 300, seed=5)
        numbers = list(wanted)
        assert set(client.label(numbers, [(wanted[number] + 1) % 10 for number in numbers])) == {"joined"}
        # The selector answers the permit that it has, if it has not done so already, and gets no other.
        daemon.until(lambda training: training.sample_ledger.selected_count > trained)
        daemon.until(lambda training: all(client.sample(number).fate != "waiting" for number in numbers))
        here = [n for n in numbers if client.sample(n).fate in ("candidate", "held_out")]
        gone = [n for n in numbers if client.sample(n).fate == "filtered"]
        assert len(here) > 10
        assert len(gone) > 100

        assert set(client.label(here, [wanted[number] for number in here])) == {"corrected"}
        assert set(client.label(gone, [wanted[number] for number in gone])) == {"too_late"}
        assert all(client.sample(number).label == wanted[number] for number in here)
        assert set(client.label(here, [wanted[number] for number in here])) == {"unchanged"}
        daemon.client.resume()
        daemon.until(lambda training: client.sample(here[-1]).fate not in ("candidate", "selected"))
    assert daemon.training().sample_ledger.is_balanced
    assert daemon.stop() == 0


def test_with_the_log_labels_and_corrections_survive_the_end_of_all_processes(daemons):
    daemon = daemons({**CHANGES, "ingest.durable": True, "round.min_samples": 10**6}).start()
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        numbers = list(push_unlabelled(client, 200, seed=6))
        expected = {number: number % 10 for number in numbers[:150]}
        assert set(client.label(list(expected), list(expected.values()))) == {"joined"}
        daemon.until(lambda training: all(client.sample(number).fate != "waiting" for number in expected))
        here = [number for number in expected if client.sample(number).fate in ("candidate", "held_out")]
        assert len(here) >= 30
        for shift in (1, 2):  # once and again
            expected |= {number: (number + shift) % 10 for number in here}
            assert set(client.label(here, [expected[number] for number in here])) == {"corrected"}
    daemon.kill_all()
    daemon.start()
    training = daemon.until(lambda training: training.sample_ledger.buffered_count and training.state == "waiting")
    ledger = training.sample_ledger
    assert (ledger.pending_label_count, ledger.lost_count, ledger.is_balanced) == (50, 0, True)
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        daemon.until(lambda training: all(client.sample(number).fate != "waiting" for number in expected))
        found = {number: client.sample(number).label for number in expected}
        kept = {number: label for number, label in found.items() if label is not None}
        assert len(kept) >= 30
        assert kept == {number: expected[number] for number in kept}
        assert set(kept) & set(here)
        assert set(client.label(numbers[150:], [0] * 50)) == {"joined"}
    assert daemon.stop() == 0
