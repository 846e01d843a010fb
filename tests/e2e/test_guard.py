"""A real daemon that is fed garbage, or taught too fast: it goes back to its best model, says why, and stops trying."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

import titan
from tests.e2e.daemon import SECONDS, Daemon, health_of, process_of, stream

# Without the average, which follows the parameters too slowly for a test.
GUARDED = {"guard.every_rounds": 20, "evaluation.held_out_ratio": 0.1, "training.average": 0.0}


def push(daemon: Daemon, count: int, seed: int, garbage: bool = False) -> None:
    """Push digits; as garbage each with a label that is none of its own, always the same for each digit."""
    wrong = (np.arange(10) + 1 + seed % 9) % 10
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        for x, label in stream(count, seed):
            client.push_batch(x, wrong[label] if garbage else label)
        client.flush(SECONDS)


def taught(daemon: Daemon, rounds: int = 160):
    """Push digits until so many rounds have run, and there is a best snapshot."""
    seed = 0
    while (training := daemon.quiet()).round_count < rounds or not training.guard.best:
        push(daemon, 1000, seed)
        seed += 1
    return training


def accuracy(gate) -> float:
    return gate.held_out.accuracy


def test_garbage_is_rolled_back_until_somebody_has_to_look(daemons):
    daemon = daemons({**GUARDED, "guard.rollback_limit": 2}).start()
    before = taught(daemon)
    best = daemon.client.snapshot("best")
    assert best.gate.verdict == "promoted"
    assert accuracy(best.gate) > 0.6
    assert health_of(before) == set()

    for seed in range(100, 200):
        push(daemon, 1000, seed, garbage=True)
        training = daemon.until(lambda each: each.state in ("waiting", "paused"))
        if training.state == "paused":
            break
    guard = training.guard
    assert (training.state, training.state_reason) == ("paused", "ROLLED_BACK_REPEATEDLY")
    assert "MODEL_ROLLED_BACK" in health_of(training)
    assert guard.automatic_rollback_count == 2
    assert (guard.last_rollback.reason, guard.last_gate.verdict) == ("GATE_FAILED", "failed")
    assert guard.last_rollback.source == guard.best
    assert guard.last_gate.held_out.difference_high < -0.05
    assert guard.last_gate.held_out.worse_count > guard.last_gate.held_out.better_count
    daemon.until_log("rolled back")

    daemon.client.resume()
    after = taught(daemon, training.round_count + 45)
    assert after.state != "paused"
    assert "MODEL_ROLLED_BACK" not in health_of(after)
    assert after.guard.last_gate.verdict in ("promoted", "kept")
    assert after.selection.staleness_round_counts[2:] == ()
    assert after.sample_ledger.is_balanced


@pytest.mark.parametrize("rate", [30.0, 1e30])
def test_a_rate_that_is_far_too_high_ends_in_a_pause_with_finite_parameters(daemons, rate, tmp_path):
    daemon = daemons({"training.learning_rate": rate, "guard.rollback_rate_factor": 1.0}).start()
    for seed in range(100):
        push(daemon, 1000, seed)
        training = daemon.until(lambda each: each.state in ("waiting", "paused"))
        if training.state == "paused":
            break
    assert (training.state, training.state_reason) == ("paused", "ROLLED_BACK_REPEATEDLY")
    assert training.guard.last_rollback.reason in ("UPDATES_NOT_FINITE", "LOSS_DIVERGED")
    assert training.guard.automatic_rollback_count == 3
    path = tmp_path / "model.safetensors"
    daemon.client.create_snapshot()
    daemon.client.export_model(path)
    from safetensors.numpy import load_file

    assert all(np.isfinite(value).all() for value in load_file(path).values())


def test_a_rollback_that_was_answered_survives_the_death_of_the_trainer_and_of_everything(daemons, tmp_path):
    daemon = daemons(GUARDED).start()
    taught(daemon, 60)
    early = daemon.client.create_snapshot("early")
    push(daemon, 3000, seed=50)
    late = daemon.quiet()
    assert late.round_count > early.round_number

    done = daemon.client.rollback(early.name, "a test")
    assert (done.source, done.reason, done.round_number) == (early.name, "REQUESTED", late.round_count + 1)
    check_is_back_at(daemon, early, tmp_path / "before")

    psutil.Process(process_of(daemon.training(), "trainer").pid).kill()
    daemon.until(lambda each: process_of(each, "trainer").restart_count == 1 and each.state == "waiting")
    check_is_back_at(daemon, early, tmp_path / "after the trainer")

    for process in reversed(daemon.family()):
        process.kill()
    daemon.ended()
    daemon.start()
    daemon.until(lambda each: each.state == "waiting")
    check_is_back_at(daemon, early, tmp_path / "after the service")

    push(daemon, 1000, seed=60)
    assert daemon.quiet().round_count > late.round_count
    assert daemon.client.training().guard.last_rollback == done


def check_is_back_at(daemon: Daemon, snapshot, path) -> None:
    """Check that the parameters, by way of a new snapshot, are those of an older one."""
    now = daemon.client.create_snapshot()
    assert now.round_number > snapshot.round_number
    assert now.files[0].sha256 == snapshot.files[0].sha256


def test_only_the_admin_socket_takes_a_rollback(daemons):
    daemon = daemons(GUARDED).start()
    taught(daemon, 20)
    reader = titan.Client(daemon.address, admin_address=daemon.address)
    with reader, pytest.raises(titan.TitanError, match="admin socket"):
        reader.rollback("best")
    with pytest.raises(titan.TitanError, match="no snapshot"):
        daemon.client.rollback("999999")
    assert daemon.client.rollback().reason == "REQUESTED"
