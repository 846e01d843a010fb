"""One running daemon, real digits over real gRPC: it learns, accounts for everything, and hands out its model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import titan
from tests.e2e.daemon import ROOT, SECONDS, check_books, health_of, process_of, stream
from titand.demo.data import digits

PUSHED, ROUNDS = 10_000, 150


@pytest.fixture(scope="module")
def daemon(daemons):
    """A daemon that has worked up ten thousand digits; on a busy machine more, for windows are larger there."""
    daemon = daemons().start()
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        for x, label in stream(10 * PUSHED, seed=0):
            client.push_batch(x, label)
            if client.totals.pushed >= PUSHED and client.training().round_count >= ROUNDS:
                break
        daemon.totals = client.flush(SECONDS)
    daemon.quiet()
    return daemon


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)


def titanctl(daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "titan.cli.main", "--address", daemon.address, *arguments)


def maps(daemon, name: str) -> str:
    """What a process of the daemon has mapped: every shared library is in it."""
    pid = daemon.pid if name == "supervisor" else process_of(daemon.training(), name).pid
    return Path(f"/proc/{pid}/maps").read_text()


def test_ten_thousand_samples_are_all_accounted_for(daemon):
    assert PUSHED <= daemon.totals.accepted == daemon.totals.pushed
    training = daemon.quiet()
    check_books(training, daemon.totals)
    ledger = training.sample_ledger
    assert ledger.selected_count == 10 * training.round_count
    assert abs(ledger.held_out_count / ledger.pushed_count - 0.05) < 0.01
    assert ledger.filtered_count > ledger.evicted_count > ledger.selected_count
    assert ledger.buffered_count < 50 + 30


def test_staleness_is_one_round_but_for_the_first(daemon):
    training = daemon.quiet()
    assert training.selection.staleness_round_counts == (1, training.round_count - 1)
    assert training.round_count >= ROUNDS
    assert training.last_round.staleness == 1


def test_it_has_learned(daemon):
    training = daemon.quiet()
    assert training.evaluation.prequential_accuracy > 0.6
    assert training.evaluation.sample_count > 50
    assert training.last_round.variance_ratio > 0
    assert health_of(training) == set()


def test_an_exported_model_names_digits_that_it_never_saw_in_a_process_that_never_saw_the_daemon(daemon, tmp_path):
    snapshot = daemon.client.create_snapshot("for a test")
    path = tmp_path / "model.safetensors"
    result = titanctl(daemon, "export-model", str(path), "--format", "safetensors")
    assert result.returncode == 0, result.stderr
    judged = run("-m", "titand.demo.judge", str(path), "--data", "digits")
    assert judged.returncode == 0, judged.stderr
    verdict = json.loads(judged.stdout)
    assert verdict["sample_count"] == len(digits().test)
    assert verdict["accuracy"] > 0.6
    assert daemon.quiet().last_snapshot == snapshot.name
    assert snapshot.round_number == daemon.quiet().round_count


@pytest.mark.parametrize("name", ["supervisor", "front", "telemetry"])
def test_only_the_workers_have_torch(daemon, name):
    assert "libtorch" not in maps(daemon, name)


@pytest.mark.parametrize("name", ["supervisor", "zygote", "selector", "trainer", "telemetry"])
def test_only_the_front_has_grpc(daemon, name):
    assert "cygrpc" not in maps(daemon, name)


def test_the_look_at_the_maps_would_see_them(daemon):
    assert "libtorch" in maps(daemon, "trainer")
    assert "cygrpc" in maps(daemon, "front")


def test_titanctl_never_loads_torch(daemon):
    code = f"""
import sys
from titan.cli.main import main
main(["--address", {daemon.address!r}, "status"])
sys.exit(bool({{"torch", "numpy", "titand"}} & set(sys.modules)))
"""
    result = run("-c", code)
    assert result.returncode == 0, result.stderr
    assert "TRAINING" in result.stdout


def test_a_round_loads_no_compiler():
    """torch._dynamo is 69 MB and a second; torch.optim would bring it."""
    code = """
import sys
from tests.workers.pair import Pair
from titand.workers import exporter, selector_process, trainer_process, zygote
pair = Pair()
pair.start()
pair.round()
sys.exit("torch._dynamo" in sys.modules)
"""
    result = run("-c", code)
    assert result.returncode == 0, result.stderr


def test_the_zygote_has_one_thread_and_computes_nothing(daemon):
    pid = process_of(daemon.training(), "zygote").pid
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_pausing_stops_the_rounds_and_not_the_samples(daemon):
    before = daemon.quiet()
    daemon.client.pause("for a test")
    try:
        daemon.until(lambda training: training.state == "paused")
        totals = daemon.push(1000, seed=5)
        paused = daemon.until(lambda t: t.sample_ledger.pushed_count == before.sample_ledger.pushed_count + 1000)
        assert totals.accepted == 1000
        assert paused.round_count <= before.round_count + 1
        assert paused.state_message == "Paused on request: for a test."
        with pytest.raises(titan.TitanError) as caught:
            daemon.client.pause()
        assert caught.value.reason == "ALREADY_PAUSED"
    finally:
        daemon.client.resume()
    assert daemon.until(lambda t: t.round_count > paused.round_count).sample_ledger.is_balanced


def test_a_second_start_refuses_and_names_the_first(daemon):
    second = run("-m", "titand.daemon", "serve", "--config", str(daemon.config_path))
    assert second.returncode == 1
    assert f"process {daemon.pid}" in second.stderr
    assert daemon.training() is not None


def test_a_second_daemon_does_not_share_the_state_of_the_first(daemon, homes):
    text = daemon.config_path.read_text().replace(str(daemon.folder / "run"), str(homes() / "run"))
    other = homes() / "titand.toml"
    other.write_text(text)
    second = run("-m", "titand.daemon", "serve", "--config", str(other))
    assert second.returncode == 1
    assert f"process {daemon.pid}" in second.stderr


def test_a_reload_takes_over_what_may_change(daemon):
    daemon.configure({"selection.candidates": 15})
    try:
        daemon.signal(signal.SIGHUP)
        daemon.until(lambda training: training.selection.candidate_budget == 15)
        daemon.push(300, seed=6)
        assert daemon.until(lambda t: t.last_round.candidate_count <= 15).last_round.batch_size == 10
    finally:
        daemon.configure({"selection.candidates": 30})
        daemon.signal(signal.SIGHUP)
    daemon.until(lambda training: training.selection.candidate_budget == 30)


def test_a_reload_says_what_needs_a_restart(daemon):
    daemon.configure({"training.learning_rate": 0.5})
    try:
        daemon.signal(signal.SIGHUP)
        training = daemon.until(lambda training: "RESTART_NEEDED" in health_of(training))
        assert "training.learning_rate" in training.health[0].message
    finally:
        daemon.configure({"training.learning_rate": 0.03})
        daemon.signal(signal.SIGHUP)
    daemon.until(lambda training: not health_of(training))


def test_a_broken_configuration_is_named_and_the_old_one_stays_in_force(daemon):
    daemon.config_path.write_text("[selection]\ncandidate = 20\n")
    try:
        daemon.signal(signal.SIGHUP)
        daemon.until(lambda training: "CONFIG_INVALID" in health_of(training))
        daemon.signal(signal.SIGHUP)
        before = daemon.training()
        daemon.push(300, seed=7)
        training = daemon.until(lambda t: t.round_count > before.round_count)
        assert [item.code for item in training.health] == ["CONFIG_INVALID"]
        assert "selection.candidates" in training.health[0].message
    finally:
        daemon.configure({})
        daemon.signal(signal.SIGHUP)
    daemon.until(lambda training: not health_of(training))
