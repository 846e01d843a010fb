"""The training as clients see it, put together from the configuration, the report boards and the ledger. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from titan.v1 import training_service_pb2 as training_pb
from titand.config import Config
from titand.front.convert import spec_message
from titand.front.durability import durability_of, written_today
from titand.front.guard import confusion_messages, guard_message
from titand.front.state import Plain, Reports, state_of
from titand.front.times import duration, set_time
from titand.runtime.counters import LedgerCounts

_NOTHING: Plain = {}
_STAGE_OWNERS = ("front", "selector", "trainer")


def training_of(
    config: Config, reports: Reports, counts: LedgerCounts | None, streams: Sequence[Plain], now_ns: int
) -> training_pb.Training:
    """Return the training.

    Args:
        config: the daemon's.
        reports: what the boards say.
        counts: the ledger; None while nobody can read it.
        streams: open push streams, see `PushStream.to_plain`.
        now_ns: wall clock.
    """
    state = state_of(reports, config.round_samples)
    trainer = reports.trainer
    training = training_pb.Training(
        name="training",
        state=state.state,
        state_reason=state.reason,
        state_message=state.message,
        daemon=_daemon(config, reports),
        model=_model(config, trainer),
        round_count=trainer.get("round", 0),
        sample_ledger=ledger_of(counts) if counts is not None else None,
        selection=_selection(config, reports),
        evaluation=_evaluation(reports.selector.get("evaluation") or {}),
        health=[
            _health_item(item)
            for report in (reports.supervisor, reports.front, reports.selector, trainer)
            for item in report.get("health", ())
        ],
        stages=[
            _stage(name, latency)
            for owner in _STAGE_OWNERS
            for name, latency in getattr(reports, owner).get("stages", {}).items()
        ],
        streams=[_stream(each) for each in streams],
        last_snapshot=f"snapshots/{trainer['last_snapshot']}" if trainer.get("last_snapshot") else "",
    )
    if trainer.get("guard"):
        training.guard.CopyFrom(guard_message(trainer["guard"]))
    set_time(training.state_time, state.since_ns)
    set_time(training.read_time, now_ns)
    if trainer.get("last_round"):
        training.last_round.CopyFrom(_round(trainer["last_round"]))
    return training


def ledger_of(counts: LedgerCounts) -> training_pb.SampleLedger:
    """Return the ledger as it goes over the wire."""
    return training_pb.SampleLedger(
        pushed_count=counts.pushed,
        shed_count=counts.shed,
        rejected_count=counts.rejected,
        held_out_count=counts.held_out,
        filtered_count=counts.filtered,
        evicted_count=counts.evicted,
        pending_label_count=counts.pending_label,
        buffered_count=counts.buffered,
        selected_count=counts.selected,
        lost_count=counts.lost,
        expired_count=counts.expired,
        orphan_label_count=counts.orphan_labels,
    )


def _daemon(config: Config, reports: Reports) -> training_pb.Daemon:
    supervisor = reports.supervisor
    devices = {"selector": reports.selector.get("device", ""), "trainer": reports.trainer.get("device", "")}
    daemon = training_pb.Daemon(
        version=supervisor.get("version", ""),
        pid=supervisor.get("pid", 0),
        state_directory=supervisor.get("state_directory", ""),
        written_today_bytes=written_today(reports),
        durability=durability_of(config, reports),
        processes=[
            training_pb.Process(
                name=each["name"],
                pid=each.get("pid") or 0,
                restart_count=each.get("restart_count", 0),
                last_exit=each.get("last_exit") or "",
                device=devices.get(each["name"], ""),
            )
            for each in supervisor.get("processes", ())
        ],
    )
    set_time(daemon.start_time, supervisor.get("start_time_ns"))
    return daemon


def _model(config: Config, trainer: Plain) -> training_pb.Model:
    spec = config.model_spec
    return training_pb.Model(
        architecture=spec.architecture,
        input_spec=spec_message(spec.input),
        labels=spec.labels,
        parameter_count=trainer.get("parameter_count", 0),
        size_bytes=trainer.get("model_bytes", 0),
    )


def _selection(config: Config, reports: Reports) -> training_pb.Selection:
    selector, gain = reports.selector, reports.trainer.get("variance_ratio") or _NOTHING
    control_gain, control_margin, control_rounds = selector.get("control_gain") or (None, None, 0)
    return training_pb.Selection(
        policy=selector.get("policy", config.selection.policy),
        candidate_budget=selector.get("candidate_budget", config.selection.candidates),
        batch_size=selector.get("batch_size", config.training.batch_size),
        variance_ratio_mean=gain.get("mean"),
        variance_ratio_margin=gain.get("margin"),
        variance_ratio_rounds=gain.get("rounds", 0),
        staleness_round_counts=reports.trainer.get("staleness_round_counts", ()),
        device=selector.get("device", ""),
        control_gain=control_gain,
        control_gain_margin=control_margin,
        control_gain_rounds=control_rounds,
        mode=selector.get("mode", ""),
        mode_reason=selector.get("mode_reason", ""),
        mode_message=selector.get("mode_message", ""),
        filter=selector.get("filter", config.selection.filter),
        weight_exponent=selector.get("weight_exponent"),
        contradicted_share=selector.get("contradicted_share"),
    )


def _evaluation(plain: Plain) -> training_pb.Evaluation | None:
    if not plain:
        return None
    return training_pb.Evaluation(
        accuracy=plain.get("accuracy"),
        accuracy_margin=plain.get("accuracy_margin"),
        sample_count=plain.get("sample_count", 0),
        version=plain.get("version", 0),
        prequential_accuracy=plain.get("prequential_accuracy"),
        loss=plain.get("loss"),
        class_accuracies=[nan if each is None else each for each in plain.get("class_accuracies", ())],
        confusions=confusion_messages(plain.get("confusions", ())),
    )


def _round(plain: Plain) -> training_pb.Round:
    completed = training_pb.Round(
        number=plain.get("number"),
        batch_size=plain.get("batch_size"),
        loss=plain.get("loss"),
        learning_rate=plain.get("learning_rate"),
        staleness=plain.get("staleness"),
        window_size=plain.get("window_size"),
        candidate_count=plain.get("candidate_count"),
        variance_ratio=plain.get("variance_ratio"),
        select_duration=duration(plain.get("select_seconds")),
        train_duration=duration(plain.get("train_seconds")),
        wait_duration=duration(plain.get("wait_seconds")),
        class_draw_counts=plain.get("class_draw_counts") or (),
        replayed_count=plain.get("replayed", 0),
    )
    set_time(completed.complete_time, plain.get("complete_time_ns"))
    return completed


def _health_item(plain: Plain) -> training_pb.HealthItem:
    severity = f"SEVERITY_{plain['severity'].upper()}"
    item = training_pb.HealthItem(code=plain["code"], severity=severity, message=plain["message"])
    set_time(item.since_time, plain.get("since_ns"))
    return item


def _stage(name: str, plain: Plain) -> training_pb.StageLatency:
    quantiles = {key: duration(plain.get(key)) for key in ("p50", "p95", "p99", "max")}
    return training_pb.StageLatency(stage=name, count=plain.get("count", 0), **quantiles)


def _stream(plain: Plain) -> training_pb.PushStream:
    stream = training_pb.PushStream(
        stream_id=plain["stream_id"],
        producer=plain["producer"],
        acknowledged_sequence=plain["acknowledged_sequence"],
        accepted_count=plain["accepted"],
        rejected_count=plain["rejected"],
        shed_count=plain["shed"],
    )
    set_time(stream.open_time, plain["open_ns"])
    return stream
