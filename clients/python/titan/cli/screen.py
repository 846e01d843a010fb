"""The text of `titanctl status`: at most 20 lines of 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap

from titan.cli.words import UNKNOWN, count, decimal, ratio, seconds, since, size
from titan.records import Guard, HealthItem, Measurement, SampleLedger, Selection, Telemetry, Training

COLUMNS = 100
HEALTH_LINES = 3
STAGES_SHOWN = ("admit", "filter", "score", "select", "train")


def screen(training: Training, telemetry: Telemetry | None, address: str) -> list[str]:
    """Return the lines of the status."""
    lines = [
        _head(training, telemetry, address),
        f"TRAINING   {training.state} for {since(training.state_time, training.read_time)}: "
        f"{training.state_message or training.state_reason or UNKNOWN}",
        f"MODEL      {_model(training)}",
        f"ROUNDS     {_rounds(training)}",
        f"ACCURACY   {_accuracy(training)}",
        *_ledger(training.sample_ledger),
        f"SELECTION  {_selection(training.selection)}",
        f"GAIN       {_gain(training.selection)}",
        f"LABELS     {_labels(training.selection, training.sample_ledger)}",
        f"LATENCY    {_latency(training)}",
        f"STREAMS    {_streams(training)}",
        f"POWER      {_power(telemetry)}",
        f"MEMORY     {_memory(training, telemetry)}",
        f"DISK       {_disk(training)}",
        f"SNAPSHOT   {training.last_snapshot or 'none yet'}{_guard(training.guard)}",
        *_health(training),
    ]
    return [line if len(line) <= COLUMNS else line[: COLUMNS - 3] + "..." for line in lines]


def _head(training: Training, telemetry: Telemetry | None, address: str) -> str:
    daemon = training.daemon
    board = telemetry.board if telemetry else None
    name = (board.model or "unknown board") + (f" (L4T {board.l4t})" if board.l4t else "") if board else "unknown board"
    if daemon is None:
        return f"titand {UNKNOWN}   {name}   {address}"
    up = since(daemon.start_time, training.read_time)
    return f"titand {daemon.version}   up {up}   pid {daemon.pid}   {name}   {address}"


def _model(training: Training) -> str:
    model = training.model
    if model is None:
        return UNKNOWN
    parameters = f"{count(model.parameter_count)} parameters, {size(model.size_bytes)}"
    return f"{model.architecture}   {parameters}   {model.input_spec or UNKNOWN}   {len(model.labels)} classes"


def _rounds(training: Training) -> str:
    last = training.last_round
    if last is None:
        return f"{training.round_count:,}   none since the start"
    return (
        f"{training.round_count:,}   loss {decimal(last.loss)}   learning rate {last.learning_rate:.3g}"
        f"   trains {seconds(last.train_seconds)}, waits {seconds(last.wait_seconds)}"
        f"   last {since(last.complete_time, training.read_time)} ago"
    )


def _accuracy(training: Training) -> str:
    found = training.evaluation
    if found is None or found.accuracy is None:
        return f"{UNKNOWN}: nothing evaluated yet"
    return (
        f"{found.accuracy:.3f}{_margin(found.accuracy_margin, 3)} on {count(found.sample_count)} held-out samples"
        f" after round {found.version:,}"
        f"   on arrivals {decimal(found.prequential_accuracy)}"
    )


def _ledger(ledger: SampleLedger | None) -> Iterator[str]:
    if ledger is None:
        yield f"SAMPLES    {UNKNOWN}"
        return
    balance = "balanced" if ledger.is_balanced else "DOES NOT BALANCE"
    unlabelled = ledger.pending_label_count + ledger.expired_count
    yield (
        f"SAMPLES    {count(ledger.pushed_count)} pushed = {count(ledger.shed_count)} shed"
        f" + {count(ledger.rejected_count)} rejected + {count(ledger.held_out_count)} held out"
        f" + {count(ledger.filtered_count)} filtered"
    )
    yield (
        f"           + {count(ledger.evicted_count)} evicted + {count(unlabelled)} unlabelled"
        f" + {count(ledger.buffered_count)} buffered + {count(ledger.selected_count)} selected"
        f" + {count(ledger.lost_count)} lost   {balance}"
    )


def _selection(selection: Selection | None) -> str:
    if selection is None:
        return UNKNOWN
    policy = selection.policy + (f" with {selection.filter}" if selection.filter else "")
    if selection.mode == "resting":
        return f"{policy}, resting: {selection.mode_message}"
    return (
        f"{policy} on {selection.device or UNKNOWN}   {selection.batch_size} of"
        f" {selection.candidate_budget} candidates   {_staleness(selection)}"
    )


def _gain(selection: Selection | None) -> str:
    """Return whether selection pays: it does above 1x and above +0."""
    if selection is None or (selection.variance_ratio_mean is None and selection.control_gain is None):
        return UNKNOWN
    variance, control = selection.variance_ratio_mean, selection.control_gain
    spread = _margin(selection.variance_ratio_margin, 2)
    told = UNKNOWN if control is None else f"{control:+.3f}{_margin(selection.control_gain_margin, 3)} nats"
    return f"random has {decimal(variance, 2)}{spread} times our variance   control arm {told}"


def _labels(selection: Selection | None, ledger: SampleLedger | None) -> str:
    """Return how many seem wrong or came late, and what the sample weights make of it: power 1 is unbiased."""
    parts = []
    if selection is not None and not (selection.contradicted_share is None and selection.weight_exponent is None):
        parts.append(f"{ratio(selection.contradicted_share)} contradict the model")
    if ledger is not None and (ledger.pending_label_count or ledger.expired_count or ledger.orphan_label_count):
        parts.append(
            f"{count(ledger.pending_label_count)} awaited, {count(ledger.expired_count)} expired,"
            f" {count(ledger.orphan_label_count)} orphaned"
        )
    if selection is not None and selection.weight_exponent is not None:
        parts.append(f"sample weights to the power {selection.weight_exponent:.2g}")
    return "   ".join(parts) or UNKNOWN


def _guard(guard: Guard | None) -> str:
    """Return which snapshot is the best, and when the parameters were rolled back last."""
    best = "" if guard is None or not guard.best else f"   best {guard.best.removeprefix('snapshots/')}"
    last = None if guard is None else guard.last_rollback
    return best + ("" if last is None else f"   rolled back before round {last.round_number:,}: {last.reason}")


def _margin(half_width: float | None, digits: int) -> str:
    return "" if half_width is None else f" +-{half_width:.{digits}f}"


def _staleness(selection: Selection) -> str:
    rounds = selection.staleness_round_counts
    if not sum(rounds):
        return f"staleness {UNKNOWN}"
    share = rounds[1] / sum(rounds) if len(rounds) > 1 else 0.0
    return f"staleness 1 in {ratio(share)}"


def _latency(training: Training) -> str:
    known = {stage.stage: stage.p95_seconds for stage in training.stages}
    shown = [f"{name} {seconds(known[name])}" for name in STAGES_SHOWN if name in known]
    return "p95   " + "   ".join(shown) if shown else UNKNOWN


def _streams(training: Training) -> str:
    if not training.streams:
        return "none open"
    shown = ", ".join(
        f"{each.producer or each.stream_id[:8]} ({count(each.accepted_count)} accepted,"
        f" {count(each.rejected_count)} rejected, {count(each.shed_count)} shed)"
        for each in training.streams
    )
    return f"{len(training.streams)} open: {shown}"


def _power(telemetry: Telemetry | None) -> str:
    values: Mapping[str, Measurement] = telemetry.values if telemetry else {}
    power, energy = values.get("board_power_watts"), values.get("energy_joules")
    parts = [f"{power.value:.1f} W ({power.source})" if power else f"{UNKNOWN} W"]
    parts.append(f"{count(energy.value)} J" if energy else f"{UNKNOWN} J")
    parts.append(f"CPU {_share(values, 'cpu_utilization_ratio')}   GPU {_share(values, 'gpu_utilization_ratio')}")
    heat = telemetry.temperatures_celsius if telemetry else {}
    hottest = max(heat.items(), key=lambda item: item[1].value, default=None)
    parts.append(f"hottest {hottest[1].value:.0f} C ({hottest[0]})" if hottest else f"temperature {UNKNOWN}")
    return "   ".join(parts)


def _share(values: Mapping[str, Measurement], name: str) -> str:
    return ratio(values[name].value) if name in values else UNKNOWN


def _memory(training: Training, telemetry: Telemetry | None) -> str:
    processes = telemetry.processes if telemetry else ()
    ours = f"{size(sum(each.pss_bytes for each in processes) if processes else None)}"
    if processes:
        ours += f" in {len(processes)} processes"
    free = telemetry.values.get("memory_available_bytes") if telemetry else None
    available = size(free.value if free else None)
    return f"{ours}   {available} available"


def _disk(training: Training) -> str:
    """Return what was written and what survives: every acknowledged sample, or the last checkpoint alone."""
    daemon = training.daemon
    kept = daemon.durability if daemon else None
    if daemon is None or kept is None:
        return f"{size(daemon.written_today_bytes if daemon else None)} written today"
    checkpoint = "no checkpoint yet"
    if kept.checkpoint_time is not None:
        age = since(kept.checkpoint_time, training.read_time)
        checkpoint = f"checkpoint {size(kept.checkpoint_size_bytes)}, round {kept.checkpoint_round:,}, {age} ago"
    log = "samples kept" if kept.keeps_samples else "later samples not"
    return f"{size(daemon.written_today_bytes)} of {size(kept.daily_budget_bytes)} today   {checkpoint}   {log}"


def _health(training: Training) -> Iterator[str]:
    items = training.health
    if not items:
        yield "HEALTH     ok"
        return
    errors = sum(item.severity == "error" for item in items)
    explained = f"what to do: titanctl explain {items[0].code}"
    yield f"HEALTH     {_plural(errors, 'error')}, {_plural(len(items) - errors, 'warning')}   {explained}"
    lines = [
        line
        for item in items
        for line in wrap(_said(item, training), COLUMNS, initial_indent="  ", subsequent_indent="    ")
    ]
    yield from lines if len(lines) <= HEALTH_LINES else lines[: HEALTH_LINES - 1]
    if len(lines) > HEALTH_LINES:
        yield "  and more: titanctl status --json"


def _said(item: HealthItem, training: Training) -> str:
    lasting = f" for {since(item.since_time, training.read_time)}" if item.since_time else ""
    return f"{item.code}{lasting}  {item.message}"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
