"""The status shows what the boards say, and what nobody says is absent, never zero."""

import math

import pytest

from tests.front.house import config_in
from titan.v1.training_service_pb2 import HealthItem, Training
from titand.front.state import Reports, state_of
from titand.front.status import duration, training_of
from titand.runtime.counters import LedgerCounts

COUNTS = LedgerCounts(65, 1, 2, 3, 4, 5, 6, 7, 8, 19, 10, 11)
RUNNING = {"state": "running", "processes": []}
BOTH = frozenset({"selector", "trainer"})
PROCESSES = [
    {"name": "front", "pid": 11, "restart_count": 0, "last_exit": ""},
    {"name": "trainer", "pid": 12, "restart_count": 2, "last_exit": "killed by SIGKILL"},
]


def reports(trainer=None, alive=BOTH, **other):
    return Reports(**{"supervisor": RUNNING, "trainer": trainer or {}, "alive": alive, **other})


@pytest.mark.parametrize(
    ("given", "state", "reason", "words"),
    [
        (reports(alive=frozenset()), "STARTING", "LOADING_MODEL", "load"),
        (Reports(), "STARTING", "LOADING_MODEL", "load"),
        (reports({"state": "starting"}), "STARTING", "LOADING_MODEL", "load"),
        (reports({"state": "active"}, alive=frozenset({"trainer"})), "STARTING", "LOADING_MODEL", "load"),
        (
            reports({"state": "active"}, alive=frozenset(), supervisor={"processes": PROCESSES}),
            "STARTING",
            "WORKER_RESTARTING",
            "again",
        ),
        (
            reports({"state": "failed", "state_reason": "NO_MODEL", "state_message": "There is none."}),
            "STARTING",
            "NO_MODEL",
            "There is none.",
        ),
        (reports({"state": "active"}), "ACTIVE", "TRAINING", "Rounds"),
        (reports({"state": "waiting"}), "WAITING", "TOO_FEW_SAMPLES", "10 samples"),
        (
            reports({"state": "paused"}, wishes={"paused": True, "note": "lunch"}),
            "PAUSED",
            "PAUSED_ON_REQUEST",
            "lunch",
        ),
        (reports({"state": "active"}, wishes={"paused": True}), "ACTIVE", "PAUSING", "round in flight"),
        (reports({"state": "paused"}, wishes={"paused": False, "note": ""}), "PAUSED", "RESUMING", "in a moment"),
        (
            reports({"state": "active"}, supervisor={"state": "failed", "state_reason": "X", "state_message": "Why."}),
            "FAILED",
            "X",
            "Why.",
        ),
        (reports({"state": "active"}, supervisor={"state": "stopping"}), "STOPPING", "DAEMON_STOPPING", ""),
    ],
)
def test_each_state_has_exactly_one_reason(given, state, reason, words):
    now = state_of(given, round_samples=10)
    assert (Training.State.Name(now.state), now.reason) == (f"STATE_{state}", reason)
    assert words in now.message


def test_what_nobody_knows_is_absent(tmp_path):
    training = training_of(config_in(tmp_path), Reports(), COUNTS, [], now_ns=1)
    absent = ("last_round", "evaluation", "state_time")
    assert [field for field in absent if training.HasField(field)] == []
    assert not training.selection.HasField("variance_ratio_mean")
    assert not training.daemon.HasField("start_time")
    assert (training.last_snapshot, list(training.health), list(training.stages)) == ("", [], [])
    assert training.read_time.ToNanoseconds() == 1


def test_the_ledger_is_shown_column_by_column(tmp_path):
    ledger = training_of(config_in(tmp_path), Reports(), COUNTS, [], 1).sample_ledger
    shown = [value for _, value in sorted((field.number, value) for field, value in ledger.ListFields())]
    assert shown == [65, 1, 2, 3, 4, 5, 6, 7, 8, 19, 10, 11]
    assert ledger.pushed_count == sum(shown[1:]) - ledger.orphan_label_count


def test_everything_that_the_boards_say_is_shown(tmp_path):
    round = {
        "number": 9,
        "batch_size": 10,
        "loss": 0.5,
        "learning_rate": 0.1,
        "staleness": 1,
        "window_size": 40,
        "candidate_count": 30,
        "variance_ratio": 2.5,
        "select_seconds": 0.25,
        "train_seconds": 0.5,
        "wait_seconds": 0.0,
        "complete_time_ns": 17,
        "class_draw_counts": [4, 6, 0],
    }
    given = Reports(
        supervisor={
            "version": "1.2.3",
            "pid": 7,
            "start_time_ns": 5,
            "state": "running",
            "processes": PROCESSES,
            "state_directory": "/var/lib/titand",
            "health": [{"code": "WORKER_RESTARTED", "severity": "warning", "message": "It died.", "since_ns": 3}],
        },
        front={"stages": {"admit": {"count": 3, "p50": 0.001, "p95": 0.002, "p99": 0.003, "max": 0.004}}},
        selector={
            "policy": "uniform",
            "candidate_budget": 31,
            "batch_size": 11,
            "device": "cuda:0",
            "weight_exponent": 0.25,
            "contradicted_share": 0.03,
            "evaluation": {
                "accuracy": 0.75,
                "accuracy_margin": 0.1,
                "sample_count": 20,
                "version": 8,
                "loss": 0.6,
                "class_accuracies": [1.0, None, math.nan],
                "prequential_accuracy": 0.7,
            },
            "health": [{"code": "SLOW", "severity": "error", "message": "It is slow.", "since_ns": 0}],
        },
        trainer={
            "state": "active",
            "state_since_ns": 13,
            "round": 9,
            "last_round": round,
            "staleness_round_counts": [1, 8],
            "variance_ratio": {"mean": 2.0, "margin": 0.5, "rounds": 8},
            "parameter_count": 1000,
            "model_bytes": 4000,
            "device": "cpu",
            "last_snapshot": "r00000009",
            "written_today_bytes": 12,
        },
        alive=BOTH,
    )
    stream = {"stream_id": "a", "producer": "b", "acknowledged_sequence": 3, "accepted": 1, "rejected": 1, "shed": 1}
    training = training_of(config_in(tmp_path), given, COUNTS, [{**stream, "open_ns": 21}], now_ns=99)

    daemon = training.daemon
    assert (daemon.version, daemon.pid, daemon.state_directory) == ("1.2.3", 7, "/var/lib/titand")
    assert (daemon.start_time.ToNanoseconds(), daemon.written_today_bytes) == (5, 12)
    assert [(p.name, p.pid, p.restart_count, p.last_exit, p.device) for p in daemon.processes] == [
        ("front", 11, 0, "", ""),
        ("trainer", 12, 2, "killed by SIGKILL", "cpu"),
    ]
    model = training.model
    assert (model.architecture, model.parameter_count, model.size_bytes) == ("mlp", 1000, 4000)
    assert (training.round_count, training.state_time.ToNanoseconds()) == (9, 13)
    shown = training.last_round
    assert (shown.number, shown.batch_size, shown.loss, shown.staleness) == (9, 10, 0.5, 1)
    assert (shown.window_size, shown.candidate_count, shown.variance_ratio) == (40, 30, 2.5)
    assert (shown.select_duration.ToNanoseconds(), shown.train_duration.ToNanoseconds()) == (250_000_000, 500_000_000)
    assert shown.HasField("wait_duration")
    assert (shown.complete_time.ToNanoseconds(), list(shown.class_draw_counts)) == (17, [4, 6, 0])
    selection = training.selection
    assert (selection.policy, selection.candidate_budget, selection.batch_size) == ("uniform", 31, 11)
    assert (selection.variance_ratio_mean, selection.variance_ratio_margin, selection.variance_ratio_rounds) == (
        2,
        0.5,
        8,
    )
    assert (list(selection.staleness_round_counts), selection.device) == ([1, 8], "cuda:0")
    assert (selection.weight_exponent, selection.contradicted_share) == (0.25, 0.03)
    evaluation = training.evaluation
    assert (evaluation.accuracy, evaluation.sample_count, evaluation.version) == (0.75, 20, 8)
    assert evaluation.class_accuracies[0] == 1.0
    assert all(map(math.isnan, evaluation.class_accuracies[1:]))
    assert [(item.code, item.severity) for item in training.health] == [
        ("WORKER_RESTARTED", HealthItem.SEVERITY_WARNING),
        ("SLOW", HealthItem.SEVERITY_ERROR),
    ]
    assert [item.HasField("since_time") for item in training.health] == [True, False]
    (stage,) = training.stages
    assert (stage.stage, stage.count, stage.p50.nanos, stage.max.nanos) == ("admit", 3, 1_000_000, 4_000_000)
    (shown_stream,) = training.streams
    assert (shown_stream.stream_id, shown_stream.open_time.ToNanoseconds()) == ("a", 21)
    assert training.last_snapshot == "snapshots/r00000009"


def test_the_guard_is_shown(tmp_path):
    gate = {"verdict": "failed", "message": "Worse.", "round": 8, "best": "r00000004", "golden": None}
    gate["held_out"] = {"class_counts": [1], "correct_counts": [0], "confusions": [[0, 1, 1]], "loss": 2.5}
    done = {"round": 9, "source": "checkpoint", "reason": "GATE_FAILED", "message": "Worse.", "time_ns": 3}
    told = {"best": "r00000004", "looks": 5, "automatic": 2, "rate_factor": 0.25, "last": done, "last_gate": gate}
    guard = training_of(config_in(tmp_path), reports({"guard": told}), COUNTS, [], now_ns=1).guard
    assert (guard.best, guard.look_count, guard.automatic_rollback_count) == ("snapshots/r00000004", 5, 2)
    assert (guard.rate_factor, guard.last_rollback.source, guard.last_rollback.round_number) == (0.25, "checkpoint", 9)
    assert (guard.last_gate.verdict, guard.last_gate.held_out.loss) == (guard.last_gate.VERDICT_FAILED, 2.5)
    assert not guard.last_gate.held_out.HasField("difference")


def test_a_round_without_a_variance_ratio_has_none(tmp_path):
    given = reports({"state": "active", "last_round": {"number": 1, "variance_ratio": None}})
    shown = training_of(config_in(tmp_path), given, COUNTS, [], 1).last_round
    assert not shown.HasField("variance_ratio")
    assert not shown.HasField("select_duration")


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.1, 1.0, 3600.25])
def test_durations_are_exact_to_the_nanosecond(seconds):
    value = duration(seconds)
    assert value.seconds + value.nanos / 1e9 == pytest.approx(seconds, abs=5e-10)
