"""Watching, steering and asking, with either client: what is asked on which socket, and what comes back."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import grpc
import grpc.aio
import pytest

import titan
from tests.client.reference_server import abort
from titan import calls
from titan.rpc import from_call
from titan.v1 import sample_service_pb2, snapshot_service_pb2, telemetry_service_pb2, training_service_pb2


def training(**fields):
    return training_service_pb2.Training(name="training", **fields)


def snapshot(number, **fields):
    return snapshot_service_pb2.Snapshot(name=f"snapshots/r{number:08d}", round_number=number, **fields)


@pytest.fixture
def servers(serve):
    """The server of the main socket and that of the admin socket beside it."""
    return serve(), serve(name="admin.sock")


VERBS = {
    "training": (0, "GetTraining", lambda client: client.training(), {}),
    "pause": (1, "PauseTraining", lambda client: client.pause("hot"), {"note": "hot"}),
    "resume": (1, "ResumeTraining", lambda client: client.resume(), {}),
    "rollback": (
        1,
        "RollbackTraining",
        lambda client: client.rollback("421", "worse"),
        {"snapshot": "snapshots/r00000421", "note": "worse"},
    ),
    "back to the best": (1, "RollbackTraining", lambda client: client.rollback(), {"snapshot": "snapshots/best"}),
    "sample": (0, "GetSample", lambda client: client.sample(7), {"name": "samples/7"}),
    "suspects": (0, "ListSuspectSamples", lambda client: client.suspects(5), {"page_size": 5}),
    "label": (0, "LabelSamples", lambda client: client.label([7, 9], [2, 0]), {"numbers": [7, 9], "labels": [2, 0]}),
    "snapshot": (0, "GetSnapshot", lambda client: client.snapshot("421"), {"name": "snapshots/r00000421"}),
    "latest": (0, "GetSnapshot", lambda client: client.snapshot(), {"name": "snapshots/latest"}),
    "create": (1, "CreateSnapshot", lambda client: client.create_snapshot("why"), {"note": "why"}),
    "delete": (1, "DeleteSnapshot", lambda client: client.delete_snapshot("421"), {"name": "snapshots/r00000421"}),
    "telemetry": (0, "GetTelemetry", lambda client: client.telemetry(), {}),
}
ANSWERS = {
    "GetTraining": training(state="STATE_ACTIVE"),
    "PauseTraining": training_service_pb2.PauseTrainingResponse(training=training(state="STATE_PAUSED")),
    "ResumeTraining": training_service_pb2.ResumeTrainingResponse(training=training(state="STATE_ACTIVE")),
    "RollbackTraining": training_service_pb2.RollbackTrainingResponse(
        rollback={"round_number": 500, "source": "snapshots/r00000421", "reason": "REQUESTED"}
    ),
    "GetSample": sample_service_pb2.Sample(name="samples/7", fate="FATE_TRAINED"),
    "ListSuspectSamples": sample_service_pb2.ListSuspectSamplesResponse(
        suspects=[{"name": "samples/7", "reasons": ["REASON_HIGH_LOSS", "REASON_FAR_FROM_CLASS"]}]
    ),
    "LabelSamples": sample_service_pb2.LabelSamplesResponse(outcomes=["OUTCOME_JOINED", "OUTCOME_TOO_LATE"]),
    "GetSnapshot": snapshot(421),
    "CreateSnapshot": snapshot_service_pb2.CreateSnapshotResponse(snapshot=snapshot(422)),
    "DeleteSnapshot": snapshot_service_pb2.DeleteSnapshotResponse(),
    "GetTelemetry": telemetry_service_pb2.Telemetry(board={"kind": "generic"}),
}
RESULTS = {
    "GetTraining": lambda found: found.state == "active",
    "PauseTraining": lambda found: found.state == "paused",
    "ResumeTraining": lambda found: found.state == "active",
    "RollbackTraining": lambda found: (found.round_number, found.reason) == (500, "REQUESTED"),
    "GetSample": lambda found: found.fate == "trained",
    "ListSuspectSamples": lambda found: found[0].reasons == ("high_loss", "far_from_class"),
    "LabelSamples": lambda found: found == ["joined", "too_late"],
    "GetSnapshot": lambda found: found.round_number == 421,
    "CreateSnapshot": lambda found: found.name == "snapshots/r00000422",
    "DeleteSnapshot": lambda found: found is None,
    "GetTelemetry": lambda found: found.board.kind == "generic",
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_asks_on_its_socket_and_returns_a_record(servers, client_of, verb):
    place, method, call, fields = VERBS[verb]
    servers[place].answers[method] = lambda request, context: ANSWERS[method]
    assert RESULTS[method](call(client_of(servers[0])))
    ((asked, request),) = servers[place].calls
    assert asked == method
    assert request == type(request)(**fields)


def test_every_method_of_the_api_has_a_verb(servers):
    from tests.client.reference_server import METHODS

    said = {method for _, method, _, _ in VERBS.values()}
    said |= {"PushSamples", "ListSnapshots", "ExportModel", "DownloadSnapshot", "WatchTraining", "WatchTelemetry"}
    assert {name.rpartition("/")[2] for name in METHODS} == said


def test_many_labels_go_out_in_portions_and_their_outcomes_come_back_in_order(servers, client_of):
    def label(request, context):
        outcomes = ["OUTCOME_JOINED" if number % 2 else "OUTCOME_UNKNOWN" for number in request.numbers]
        return sample_service_pb2.LabelSamplesResponse(outcomes=outcomes)

    servers[0].answers["LabelSamples"] = label
    numbers = range(1, 2502)
    found = client_of(servers[0]).label(numbers, (number % 7 for number in numbers))
    assert found == ["joined" if number % 2 else "unknown" for number in numbers]
    asked = [request for _, request in servers[0].calls]
    assert [number for request in asked for number in request.numbers] == list(numbers)
    assert [label for request in asked for label in request.labels] == [number % 7 for number in numbers]
    assert 1 < len(asked) < 10


def test_a_daemon_that_still_reads_its_log_is_asked_again(servers, client_of):
    def label(request, context):
        if len(servers[0].calls) < 3:
            abort(context, grpc.StatusCode.UNAVAILABLE, "REPLAYING", "Not yet.")
        return ANSWERS["LabelSamples"]

    servers[0].answers["LabelSamples"] = label
    assert client_of(servers[0]).label([7, 9], [2, 0]) == ["joined", "too_late"]
    assert len(servers[0].calls) == 3


@pytest.mark.parametrize(
    ("numbers", "labels", "reason"),
    [
        ([1, 2], [0], "COUNT_MISMATCH"),
        ([None], [0], "NUMBER_INVALID"),
        ([0], [0], "NUMBER_INVALID"),
        ([2**63], [0], "NUMBER_INVALID"),
        ([1], [float("nan")], "LABEL_NOT_INTEGER"),
        ([1], [None], "LABEL_NOT_INTEGER"),
        ([1], [2**31], "LABEL_TOO_LARGE"),
        ([1] * 5000, [0] * 4999 + [0.5], "LABEL_NOT_INTEGER"),
    ],
)
def test_labels_that_make_no_sense_are_told_before_any_is_sent(servers, client_of, numbers, labels, reason):
    with pytest.raises(titan.InvalidSample) as caught:
        client_of(servers[0]).label(numbers, labels)
    assert caught.value.reason == reason
    assert servers[0].calls == []


def test_an_admin_socket_of_its_own_may_be_named(serve, client_of):
    main, admin = serve(), serve(name="elsewhere.sock")
    admin.answers["ResumeTraining"] = lambda request, context: ANSWERS["ResumeTraining"]
    assert client_of(main, admin_address=admin.address).resume().state == "active"


def test_snapshots_come_from_as_many_pages_as_there_are(servers, client_of):
    def page(request, context):
        first = int(request.page_token or 5)
        token = str(first - 2) if first > 2 else ""
        found = [snapshot(number) for number in range(first, max(first - 2, 0), -1)]
        return snapshot_service_pb2.ListSnapshotsResponse(snapshots=found, next_page_token=token)

    servers[0].answers["ListSnapshots"] = page
    assert [each.round_number for each in client_of(servers[0]).snapshots()] == [5, 4, 3, 2, 1]


def test_a_watch_goes_on_until_nobody_watches(servers, client_of):
    ended = threading.Event()

    def watch(request, context):
        context.add_callback(ended.set)
        for number in range(10**6):
            yield training_service_pb2.WatchTrainingResponse(training=training(round_count=number))

    servers[0].answers["WatchTraining"] = watch
    client = client_of(servers[0])
    events = client.watch_training()
    assert [next(events).round_count for _ in range(3)] == [0, 1, 2]
    events.close()
    assert ended.wait(10)


def test_a_watch_ends_when_the_daemon_does(servers, client_of):
    def watch(request, context):
        yield telemetry_service_pb2.WatchTelemetryResponse(telemetry={"board": {"kind": "jetson"}})
        context.abort(grpc.StatusCode.UNAVAILABLE, "going down")

    servers[0].answers["WatchTelemetry"] = watch
    events = client_of(servers[0]).watch_telemetry()
    assert next(events).board.kind == "jetson"
    with pytest.raises(titan.Unreachable) as caught:
        next(events)
    assert caught.value.reason == "CONNECTION_LOST"


def test_the_daemons_reason_comes_through(servers, client_of):
    def refuse(request, context):
        abort(
            context, grpc.StatusCode.UNAVAILABLE, "NO_READING_YET", "There is no reading yet.",
            remedy="Ask again in a second.", since="12:00",
        )  # fmt: skip

    servers[0].answers["GetTelemetry"] = refuse
    with pytest.raises(titan.TitanError) as caught:
        client_of(servers[0]).telemetry()
    error = caught.value
    assert not isinstance(error, titan.Unreachable)
    assert (error.code, error.reason, error.metadata) == ("UNAVAILABLE", "NO_READING_YET", {"since": "12:00"})
    assert str(error) == "There is no reading yet. Ask again in a second."


def test_a_plain_status_is_an_error_too(servers, client_of):
    servers[0].answers["GetTraining"] = lambda request, context: context.abort(grpc.StatusCode.INTERNAL, "a bug")
    with pytest.raises(titan.TitanError, match="a bug") as caught:
        client_of(servers[0]).training()
    assert (caught.value.code, caught.value.reason) == ("INTERNAL", "INTERNAL")


def test_a_status_that_grpc_itself_lost_may_pass(servers):
    lost = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, None, None, "Internal error from Core")
    found = from_call(lost, servers[0].address)
    assert (found.code, found.reason) == ("UNAVAILABLE", "CONNECTION_LOST")


def test_a_daemon_of_another_version_is_named(servers, client_of):
    with pytest.raises(titan.TitanError, match="another version") as caught:
        client_of(servers[0]).training()
    assert caught.value.reason == "UNIMPLEMENTED"


def test_a_daemon_that_does_not_answer_in_time_is_named(servers):
    gate = threading.Event()
    servers[0].answers["GetTraining"] = lambda request, context: gate.wait(10) and ANSWERS["GetTraining"]
    with (
        titan.Client(servers[0].address) as client,
        pytest.raises(titan.Unreachable, match=r"within 0\.05 s") as caught,
    ):
        client._ask(replace(calls.training(), timeout_seconds=0.05))
    gate.set()
    assert caught.value.reason == "NO_ANSWER"


def test_a_daemon_that_takes_the_connection_and_says_nothing_is_named_too(folder, client_of):
    path = str(folder / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(titan.Unreachable, match="did not answer within 2 s") as caught:
            client_of(path).training()
    assert caught.value.reason == "NO_ANSWER"


def test_no_daemon_is_told_apart_for_every_kind_of_call(folder, client_of):
    client = client_of(str(folder / "none"), connect_timeout=0.05)
    for call in (
        client.training,
        client.pause,
        lambda: next(client.watch_training()),
        lambda: client.push(b"abcd", 0),
        client.input,
    ):
        with pytest.raises(titan.Unreachable) as caught:
            call()
        assert caught.value.reason == "SOCKET_MISSING"


def test_a_daemon_that_never_opens_the_stream_is_named(serve, client_of):
    refused = 0

    def refuse(context):
        nonlocal refused
        refused += 1
        abort(context, grpc.StatusCode.UNAVAILABLE, "STARTING", "It is still starting.")

    server = serve()
    server.script.refuse = refuse
    for seconds in (0.1, 1.0, 10.0):  # where the machine is busy, the first may be over before anything was said
        before = refused
        with pytest.raises(titan.TitanError) as caught:
            client_of(server, connect_timeout=seconds).push(b"abcd", 0)
        if refused - before > 1:  # who asks again has heard the first refusal
            break
    assert "still starting" in str(caught.value)
    server.script.refuse = None
