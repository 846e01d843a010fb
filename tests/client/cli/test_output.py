"""What titanctl prints and how it exits, for people and for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import grpc
import pytest

import titand
from tests.client.reference_server import abort
from titan.cli.main import main
from titan.v1 import sample_service_pb2, snapshot_service_pb2, telemetry_service_pb2, training_service_pb2

TRAINING = training_service_pb2.Training(name="training", state="STATE_ACTIVE", state_message="rounds run")
LEDGER = training_service_pb2.SampleLedger


@pytest.fixture
def titanctl(serve, capsys):
    """Run a command line against a reference server; returns exit code, stdout, stderr."""
    server = serve()
    admin = serve(name="admin.sock")

    def run(*words):
        code = main(["--address", server.address, *words])
        return (code, *capsys.readouterr())

    run.server, run.admin = server, admin
    server.answers["GetTraining"] = lambda request, context: TRAINING
    server.answers["GetTelemetry"] = lambda request, context: telemetry_service_pb2.Telemetry()
    return run


def envelope(text):
    """The one JSON document that there is."""
    return json.loads(text)


def test_status_prints_one_envelope(titanctl):
    code, out, err = titanctl("status", "--json")
    found = envelope(out)
    assert (code, err) == (0, "")
    assert (found["schema_version"], found["status"]) == (1, "ok")
    assert found["data"]["training"]["state"] == "active"
    assert found["data"]["training"]["last_round"] is None
    assert found["data"]["telemetry"]["values"] == {}


def test_a_number_that_json_has_no_word_for_is_null(titanctl):
    found = training_service_pb2.Training(evaluation={"class_accuracies": [0.5, float("nan")]})
    titanctl.server.answers["GetTraining"] = lambda request, context: found
    _, out, _ = titanctl("status", "--json")
    assert envelope(out)["data"]["training"]["evaluation"]["class_accuracies"] == [0.5, None]
    assert "NaN" not in out


def test_jsonl_is_one_line(titanctl):
    code, out, _ = titanctl("status", "--format", "jsonl")
    assert code == 0
    assert out.count("\n") == 1
    assert envelope(out)["status"] == "ok"


@pytest.mark.parametrize(
    "trouble",
    [
        {"health": [{"code": "X", "severity": "SEVERITY_WARNING", "message": "m"}]},
        {"state": "STATE_FAILED"},
        {"sample_ledger": LEDGER(pushed_count=2, selected_count=1)},
    ],
    ids=["health", "failed", "unbalanced"],
)
def test_a_status_with_trouble_exits_1(titanctl, trouble):
    titanctl.server.answers["GetTraining"] = lambda request, context: training_service_pb2.Training(**trouble)
    assert titanctl("status")[0] == 1
    code, out, _ = titanctl("status", "--json")
    assert (code, envelope(out)["status"]) == (1, "degraded")


def test_status_does_without_telemetry(titanctl):
    titanctl.server.answers["GetTelemetry"] = lambda request, context: abort(
        context, grpc.StatusCode.UNAVAILABLE, "NO_READING_YET", "None yet."
    )
    code, out, _ = titanctl("status")
    assert code == 0
    assert "POWER      unknown W" in out


def test_an_unreachable_daemon_exits_3(folder, capsys):
    assert main(["status", "--address", str(folder / "none")]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "There is no socket at" in err
    assert "systemctl start titand" in err
    assert main(["status", "--address", str(folder / "none"), "--json"]) == 3
    out, err = capsys.readouterr()
    assert err == ""
    assert envelope(out)["error_code"] == "SOCKET_MISSING"
    assert envelope(out)["hint"]


def test_a_refusal_exits_1_with_the_daemons_reason(titanctl):
    titanctl.admin.answers["ResumeTraining"] = lambda request, context: abort(
        context, grpc.StatusCode.FAILED_PRECONDITION, "NOT_PAUSED", "It is not paused.", remedy="Nothing to do."
    )
    code, out, err = titanctl("resume")
    assert (code, out) == (1, "")
    assert err == "titanctl: It is not paused.\n          Nothing to do.\n"
    code, out, _ = titanctl("resume", "--json")
    assert envelope(out) == {
        "schema_version": 1, "status": "error",
        "error_code": "NOT_PAUSED", "message": "It is not paused.", "hint": "Nothing to do.",
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["status", "--format", "yaml"],
        ["sample", "seven"],
        ["watch", "--json"],
        ["watch", "--count", "-1"],
        ["watch", "--count", "99999999999999999999"],
        ["telemetry", "--count", "0"],
        ["samples", "suspect", "--limit", "x"],
        ["pause", "--note", "caf\udce9"],
        ["telemetry", "--watch", "--json"],
        ["push", "/no/such/file"],
        ["snapshots", "delete", "7"],
        ["export-model"],
    ],
    ids=" ".join,
)
def test_misuse_exits_2_and_says_so_in_the_format_asked_for(titanctl, words, monkeypatch):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    code, out, err = titanctl(*words)
    assert code == 2
    assert ("--json" in words) == bool(out) != bool(err)
    code, out, _ = titanctl(*words, "--json")
    assert code == 2
    assert envelope(out)["error_code"] == "MISUSED"
    sys.stdin.close()


def test_pause_and_resume_say_what_happens(titanctl):
    paused = training_service_pb2.PauseTrainingResponse(training={"state_message": "someone asked"})
    titanctl.admin.answers["PauseTraining"] = lambda request, context: paused
    assert titanctl("pause", "--note", "hot") == (0, "someone asked\n", "")
    assert titanctl.admin.calls[0][1].note == "hot"
    resumed = training_service_pb2.ResumeTrainingResponse(training={"state_message": "rounds run"})
    titanctl.admin.answers["ResumeTraining"] = lambda request, context: resumed
    assert titanctl("resume") == (0, "rounds run\n", "")


def test_sample_tells_its_fate(titanctl):
    sample = sample_service_pb2.Sample(name="samples/7", fate="FATE_FILTERED", explanation="Too much like others.")
    titanctl.server.answers["GetSample"] = lambda request, context: sample
    _, out, _ = titanctl("sample", "7")
    assert out == "samples/7  filtered  label unknown  accepted unknown\nToo much like others.\n"


def test_watch_prints_a_line_for_each_round_and_an_end_for_programs(titanctl):
    def watch(request, context):
        for number in range(5):
            yield training_service_pb2.WatchTrainingResponse(
                training={"state": "STATE_ACTIVE", "round_count": number, "last_round": {"loss": 0.5}}
            )

    titanctl.server.answers["WatchTraining"] = watch
    code, out, _ = titanctl("watch", "--count", "3")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()] == ["0", "1", "2"]
    assert "gain unknown" in out
    _, out, _ = titanctl("watch", "--format", "jsonl")
    lines = [envelope(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == ["ok"] * 5 + ["end"]
    assert [line["data"]["round_count"] for line in lines[:5]] == [0, 1, 2, 3, 4]


def rounds(*numbers, then=lambda context: None):
    """A watch that tells of these rounds."""

    def watch(request, context):
        for number in numbers:
            yield training_service_pb2.WatchTrainingResponse(training={"round_count": number})
        then(context)

    return watch


def test_watch_goes_on_when_the_daemon_is_back(serve, capsys):
    """The server ends in the middle of the watch, and starts again a while later."""
    server, codes = serve(), []
    told, over = threading.Event(), threading.Event()

    def hold(context):
        told.set()
        over.wait(30)

    server.answers["WatchTraining"] = rounds(7, then=hold)
    words = ["--address", server.address, "watch", "--count", "3"]
    watching = threading.Thread(target=lambda: codes.append(main(words)))
    watching.start()
    assert told.wait(30)
    server.stop()
    over.set()
    server.answers["WatchTraining"] = rounds(7, 8)
    server.start()
    watching.join(30)
    out, err = capsys.readouterr()
    assert codes == [0]
    assert [line.split()[2] for line in out.splitlines()] == ["7", "7", "8"]
    assert err.count("Waiting for the daemon.") == 1


def test_watch_says_once_that_it_waits_and_gives_up_at_a_refusal(titanctl):
    def drop(context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")

    def refuse(context):
        abort(context, grpc.StatusCode.PERMISSION_DENIED, "ADMIN_ONLY", "No.")

    answers = iter([rounds(1, then=drop), rounds(then=drop), rounds(2, then=refuse)])
    titanctl.server.answers["WatchTraining"] = lambda request, context: next(answers)(request, context)
    code, out, err = titanctl("watch")
    assert code == 1
    assert [line.split()[2] for line in out.splitlines()] == ["1", "2"]
    assert err.count("Waiting for the daemon.") == 1
    assert "No." in err


def test_watch_does_not_wait_for_a_daemon_that_never_answered(folder, capsys):
    assert main(["--address", str(folder / "titand.sock"), "watch"]) == 3
    assert "Waiting" not in capsys.readouterr().err


def test_telemetry_names_source_and_age_of_every_value(titanctl):
    reading = telemetry_service_pb2.Telemetry(board={"model": "Jetson", "l4t": "36.4.3"})
    power = reading.values["board_power_watts"]
    power.value, power.source, power.age_seconds, power.kind = 6.84, "jtop", 0.5, "sum"
    reading.temperatures_celsius["cpu"].value = 61
    reading.fan_speed_ratios["fan"].value = 0.5
    reading.processes.add(name="front", pid=7, pss_bytes=25_000_000, cpu_ratio=0.03, thread_count=8)
    reading.sources.add(name="jtop", up=False, detail="service is not active")
    titanctl.server.answers["GetTelemetry"] = lambda request, context: reading
    _, out, _ = titanctl("telemetry")
    assert "Jetson  L4T 36.4.3" in out
    for words in (
        "board_power_watts 6.84 W jtop (sum), 0.5 s old",
        "cpu 61 C",
        "fan 50 %",
        "front 7 25 MB 0 B 0 B 0.03 8 0",
        "jtop down service is not active",
    ):
        assert any(" ".join(line.split()).startswith(words) for line in out.splitlines()), words


def test_telemetry_goes_on_with_watch(titanctl):
    def watch(request, context):
        for _ in range(3):
            yield telemetry_service_pb2.WatchTelemetryResponse(telemetry={"board": {"model": "PC"}})

    titanctl.server.answers["WatchTelemetry"] = watch
    _, out, _ = titanctl("telemetry", "--watch", "--count", "2", "--format", "jsonl")
    assert [envelope(line)["status"] for line in out.splitlines()] == ["ok", "ok", "end"]


def snapshot(number, **fields):
    fields = {"architecture": "mlp", "labels": ["cat", "dog"], "metrics": {"held_out_accuracy": 0.91237}, **fields}
    return snapshot_service_pb2.Snapshot(name=f"snapshots/r{number:08d}", round_number=number, **fields)


def test_snapshots_are_a_table(titanctl):
    found = [snapshot(421, note="good", files=[{"format": "MODEL_FORMAT_SAFETENSORS", "size_bytes": 12_800_000}])]
    page = snapshot_service_pb2.ListSnapshotsResponse(snapshots=[*found, snapshot(7, metrics={})])
    titanctl.server.answers["ListSnapshots"] = lambda request, context: page
    for words in (["snapshots"], ["snapshots", "list"]):
        code, out, _ = titanctl(*words)
        rows = [line.split() for line in out.splitlines()]
        assert code == 0
        assert rows[0] == ["NAME", "ROUND", "ACCURACY", "CREATED", "FILES", "NOTE"]
        assert rows[1] == ["snapshots/r00000421", "421", "0.912", "unknown", "safetensors", "12.8", "MB", "good"]
        assert rows[2] == ["snapshots/r00000007", "7", "unknown", "unknown"]
    _, out, _ = titanctl("snapshots", "--json")
    assert [each["round_number"] for each in envelope(out)["data"]["snapshots"]] == [421, 7]
    page.ClearField("snapshots")
    assert titanctl("snapshots")[1] == "no snapshots yet\n"


def test_snapshots_are_made_shown_and_deleted(titanctl):
    titanctl.admin.answers["CreateSnapshot"] = lambda request, context: snapshot_service_pb2.CreateSnapshotResponse(
        snapshot=snapshot(422, note=request.note)
    )
    titanctl.server.answers["GetSnapshot"] = lambda request, context: snapshot(422)
    titanctl.admin.answers["DeleteSnapshot"] = lambda request, context: snapshot_service_pb2.DeleteSnapshotResponse()
    assert titanctl("snapshots", "create", "--note", "try")[1].startswith("snapshots/r00000422  try\n")
    assert "METRICS    held_out_accuracy 0.9124" in titanctl("snapshots", "get")[1]
    assert titanctl("snapshots", "delete", "422", "--yes") == (0, "deleted 422\n", "")
    assert titanctl.admin.calls[-1][1].name == "snapshots/r00000422"


def test_the_program_itself_exits_with_the_code(serve):
    server = serve()
    server.answers["GetTraining"] = lambda request, context: TRAINING
    server.answers["GetTelemetry"] = lambda request, context: telemetry_service_pb2.Telemetry()
    command = [sys.executable, "-m", "titan.cli.main", "--json"]
    environment = {**os.environ, "TITAND_ADDRESS": server.address}
    done = subprocess.run([*command, "status"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert envelope(done.stdout)["status"] == "ok"
    done = subprocess.run([*command, "dance"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert envelope(done.stdout)["error_code"] == "MISUSED"


@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">/dev/full", 1, "titanctl: standard output: No space left on device\n"),
    ],
)
def test_what_cannot_be_printed_is_no_traceback(redirected, status, said):
    command = f"{sys.executable} -m titan.cli.main explain NO_CONNECTION {redirected}"
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (status, said)


def test_a_locale_that_lacks_a_letter_gets_its_number(serve):
    server = serve()
    message = "Paused on request: größer."
    training = training_service_pb2.Training(state="STATE_ACTIVE", state_message=message)
    server.answers["GetTraining"] = lambda request, context: training
    server.answers["GetTelemetry"] = lambda request, context: telemetry_service_pb2.Telemetry()
    environment = {**os.environ, "TITAND_ADDRESS": server.address, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "titan.cli.main", "status"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfer" in done.stdout


@pytest.mark.parametrize("asked", [["--format=json"], ["--format", "json"], ["--format=jsonl"], ["--json"]])
def test_misuse_is_told_in_the_format_however_that_was_asked_for(asked, capsys):
    assert main(["dance", *asked]) == 2
    assert envelope(capsys.readouterr().out)["error_code"] == "MISUSED"


def test_a_reader_that_leaves_ends_the_watch_quietly(serve):
    server = serve()

    def watch(request, context):
        while context.is_active():
            yield training_service_pb2.WatchTrainingResponse(training=TRAINING)

    server.answers["WatchTraining"] = watch
    command = f"{sys.executable} -m titan.cli.main --address {server.address} watch | head -2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_its_version_is_that_of_the_service(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"titanctl {titand.__version__}\n")
