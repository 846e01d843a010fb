"""The status screen: its size, its order, and that it never says 0 for what it does not know."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timedelta, timezone

import pytest

from titan.cli.screen import COLUMNS, screen
from titan.convert import record
from titan.records import (
    Board,
    Guard,
    HealthItem,
    Measurement,
    ProcessUsage,
    Rollback,
    SampleLedger,
    Telemetry,
    Training,
)
from titan.v1 import training_service_pb2

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
HEADINGS = [
    "titand", "TRAINING", "MODEL", "ROUNDS", "ACCURACY", "SAMPLES", "+", "SELECTION", "GAIN", "LABELS", "LATENCY",
    "STREAMS", "POWER", "MEMORY", "DISK", "SNAPSHOT", "HEALTH",
]  # fmt: skip


def training(**fields):
    """A training as a young or broken daemon may send it, or with some fields filled."""
    return dataclasses.replace(record(Training, training_service_pb2.Training()), **fields)


def busy():
    """A training with everything filled."""
    message = training_service_pb2.Training(
        state="STATE_ACTIVE",
        state_message="rounds run",
        daemon={
            "version": "0.4.0", "pid": 812, "written_today_bytes": 21_000_000,
            "durability": {
                "keeps_samples": True, "checkpoint_round": 4110, "checkpoint_size_bytes": 1_300_000,
                "daily_budget_bytes": 10**9, "log_size_bytes": 64 << 20, "log_flush_count": 12_345,
            },
        },
        model={
            "architecture": "mobilenet_v1", "parameter_count": 3_200_000, "size_bytes": 12_800_000,
            "labels": ["a"] * 10, "input_spec": {"data_type": "DATA_TYPE_UINT8", "shape": [3, 32, 32]},
        },
        round_count=4120,
        last_round={"loss": 0.4123, "learning_rate": 0.01},
        sample_ledger={
            "pushed_count": 96_240, "rejected_count": 3, "held_out_count": 4_800, "filtered_count": 70_000,
            "evicted_count": 11_600, "buffered_count": 237, "selected_count": 9_600,
        },
        selection={
            "policy": "cis", "device": "cuda:0", "batch_size": 10, "candidate_budget": 30,
            "control_gain": 0.12, "control_gain_margin": 0.03, "variance_ratio_mean": 2.31,
            "variance_ratio_margin": 0.2,
            "staleness_round_counts": [1, 99], "weight_exponent": 0.25, "contradicted_share": 0.031,
        },
        evaluation={"accuracy": 0.912, "accuracy_margin": 0.011, "sample_count": 1000, "version": 4100},
        last_snapshot="snapshots/r00004100",
    )  # fmt: skip
    message.daemon.start_time.FromDatetime(NOW - timedelta(days=3, hours=4, minutes=5))
    message.daemon.durability.checkpoint_time.FromDatetime(NOW - timedelta(seconds=70))
    message.read_time.FromDatetime(NOW)
    message.state_time.FromDatetime(NOW - timedelta(minutes=4))
    message.last_round.train_duration.FromMilliseconds(812)
    message.last_round.complete_time.FromDatetime(NOW - timedelta(seconds=2))
    stage = message.stages.add(stage="filter", count=100)
    stage.p95.FromMicroseconds(3100)
    message.streams.add(stream_id="abcdefghij", producer="camera", accepted_count=96_200)
    return record(Training, message)


def reading():
    """A reading of a board that measures everything."""

    def measured(value, source="jtop"):
        return Measurement(value, source, 0.5, "")

    return Telemetry(
        NOW, Board("NVIDIA Jetson Orin Nano", "jetson", "36.4.3"),
        {
            "board_power_watts": measured(6.84), "energy_joules": measured(1234.0),
            "cpu_utilization_ratio": measured(0.53, "procfs"), "gpu_utilization_ratio": measured(0.0),
            "memory_available_bytes": measured(1.25e9),
        },
        {}, {"cpu": measured(61.0), "gpu": measured(55.0)}, {},
        tuple(ProcessUsage(name, 7, 100_000_000, 0, 0, 0.0, 1, 1) for name in ("front", "trainer")),
        (),
    )  # fmt: skip


def test_a_busy_daemon_is_one_screen():
    assert screen(busy(), reading(), "unix:/run/titand/titand.sock") == [
        "titand 0.4.0   up 3d 4h   pid 812   NVIDIA Jetson Orin Nano (L4T 36.4.3)   unix:/run/titand/titan...",
        "TRAINING   active for 4m: rounds run",
        "MODEL      mobilenet_v1   3.2M parameters, 12.8 MB   uint8 3x32x32   10 classes",
        "ROUNDS     4,120   loss 0.412   learning rate 0.01   trains 812 ms, waits unknown   last 2s ago",
        "ACCURACY   0.912 +-0.011 on 1,000 held-out samples after round 4,100   on arrivals unknown",
        "SAMPLES    96.2k pushed = 0 shed + 3 rejected + 4,800 held out + 70.0k filtered",
        "           + 11.6k evicted + 0 unlabelled + 237 buffered + 9,600 selected + 0 lost   balanced",
        "SELECTION  cis on cuda:0   10 of 30 candidates   staleness 1 in 99 %",
        "GAIN       random has 2.31 +-0.20 times our variance   control arm +0.120 +-0.030 nats",
        "LABELS     3 % contradict the model   sample weights to the power 0.25",
        "LATENCY    p95   filter 3.1 ms",
        "STREAMS    1 open: camera (96.2k accepted, 0 rejected, 0 shed)",
        "POWER      6.8 W (jtop)   1,234 J   CPU 53 %   GPU 0 %   hottest 61 C (cpu)",
        "MEMORY     200 MB in 2 processes   1.25 GB available",
        "DISK       21 MB of 1 GB today   checkpoint 1.3 MB, round 4,110, 1m 10s ago   samples kept",
        "SNAPSHOT   snapshots/r00004100",
        "HEALTH     ok",
    ]


def test_a_selection_that_rests_says_why():
    resting = dataclasses.replace(busy().selection, mode="resting", mode_message="it did not pay")
    lines = screen(dataclasses.replace(busy(), selection=resting), None, "a")
    assert any(line == "SELECTION  cis, resting: it did not pay" for line in lines)


@pytest.mark.parametrize(("now", "telemetry"), [(training(), None), (busy(), None), (busy(), reading())])
def test_the_order_is_always_the_same(now, telemetry):
    now = dataclasses.replace(now, sample_ledger=now.sample_ledger or SampleLedger(*[0] * 12))
    assert [line.split()[0] for line in screen(now, telemetry, "a")] == HEADINGS


def test_what_is_unknown_is_never_zero():
    lines = screen(training(), None, "a")
    for line in lines:
        if not line.startswith(("ROUNDS", "SNAPSHOT", "STREAMS", "HEALTH")):
            assert "unknown" in line, line
            assert not re.search(r"\d", line), line


def test_what_needs_attention_says_since_when_and_where_to_read_on():
    items = (
        HealthItem("NOT_DURABLE", "error", "The disk is full.", NOW - timedelta(minutes=3)),
        HealthItem("RESTART_NEEDED", "warning", "A key was changed.", None),
    )
    lines = screen(dataclasses.replace(busy(), health=items), None, "a")
    assert lines[-3:] == [
        "HEALTH     1 error, 1 warning   what to do: titanctl explain NOT_DURABLE",
        "  NOT_DURABLE for 3m  The disk is full.",
        "  RESTART_NEEDED  A key was changed.",
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_the_screen_never_grows_beyond_20_lines_of_100_columns(count):
    items = tuple(HealthItem(f"CODE_{n}", "warning" if n else "error", "word " * 50, None) for n in range(count))
    huge = dataclasses.replace(
        busy(),
        health=items,
        state_message="long " * 60,
        streams=busy().streams * 30,
        sample_ledger=SampleLedger(*[10**15] * 12),
    )
    lines = screen(huge, reading(), "unix:" + "x" * 200)
    assert len(lines) <= 20
    assert max(map(len, lines)) <= COLUMNS
    if count:
        assert "CODE_0" in "\n".join(lines)
    if count > 1:
        assert "1 error, " in "\n".join(lines)
        assert lines[-1] == "  and more: titanctl status --json"


def test_a_ledger_that_does_not_add_up_is_shouted():
    wrong = dataclasses.replace(busy(), sample_ledger=SampleLedger(5, *[0] * 11))
    assert "DOES NOT BALANCE" in "\n".join(screen(wrong, None, "a"))


def test_labels_that_come_late_are_told_and_are_part_of_the_sum():
    ledger = SampleLedger(1000, *[0] * 5, 12, 0, 800, 0, 188, 3)
    lines = screen(dataclasses.replace(busy(), sample_ledger=ledger), None, "a")
    assert any("+ 200 unlabelled" in line and line.endswith("balanced") for line in lines)
    (labels,) = [line for line in lines if line.startswith("LABELS")]
    assert "12 awaited, 188 expired, 3 orphaned" in labels


def test_the_best_snapshot_and_the_last_rollback_stand_beside_the_newest():
    guard = Guard("snapshots/r00000400", None, 0, 1, Rollback(421, "snapshots/r00000400", "GATE_FAILED", "", None), 1.0)
    shown = screen(training(last_snapshot="snapshots/r00000420", guard=guard), None, "unix:x")
    line = "SNAPSHOT   snapshots/r00000420   best r00000400   rolled back before round 421: GATE_FAILED"
    assert line in shown
