"""Two sockets: who may do what where, and what any gRPC tool can ask."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.front.house import SECONDS, Conversation, batch_of, eventually, failure_of, info_of
from tests.front.test_training import at_work
from titan.v1 import (
    sample_service_pb2,
    snapshot_service_pb2,
    telemetry_service_pb2,
    training_service_pb2,
)
from titand.errors import StorageError
from titand.front.guards import ADMIN_METHODS
from titand.front.server import SERVICES
from titand.front.streams import LONG_CALLS

EMPTY = b""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
MODULES = (sample_service_pb2, training_service_pb2, snapshot_service_pb2, telemetry_service_pb2)
METHODS = sorted(
    f"/{service.full_name}/{method.name}"
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)


def status_of(channel, method):
    """Call a method with an empty message, whatever its kind; return its end."""
    call = channel.stream_stream(method)(iter([EMPTY]), timeout=SECONDS)
    try:
        next(call)
    except (grpc.RpcError, StopIteration):
        return call
    call.cancel()
    return call


def health(channel, service=""):
    return (
        health_pb2_grpc.HealthStub(channel)
        .Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
        .status
    )


@pytest.fixture
def here(house):

    def snapshot(note):
        raise StorageError("DISK_FULL", "No space left.")

    made = house(trainer={"wake": dict, "snapshot": snapshot})
    made.boards.write("telemetry", {"read_time_ns": 0})
    with made.front():
        yield made


@pytest.mark.parametrize("method", METHODS)
def test_verbs_that_change_something_are_for_the_admin_socket(here, method):
    with here.stubs() as stubs, here.stubs("admin.sock") as admin:
        refused = status_of(stubs.channel, method)
        assert (refused.code() is grpc.StatusCode.PERMISSION_DENIED) == (method in ADMIN_METHODS)
        if method in ADMIN_METHODS:
            assert info_of(refused).reason == "ADMIN_ONLY"
            assert "admin.sock" in info_of(refused).metadata["remedy"]
        assert status_of(admin.channel, method).code() is not grpc.StatusCode.PERMISSION_DENIED


def test_the_admin_verbs_are_verbs_of_ours():
    assert set(METHODS) >= ADMIN_METHODS


def test_the_admin_socket_takes_samples_too(here):
    with here.stubs("admin.sock") as admin, here.stubs() as stubs:
        assert Conversation(admin, "camera").push(batch_of(1, [0])).acknowledged_sequence == 1
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 1


@pytest.mark.parametrize("socket", ["titand.sock", "admin.sock"])
def test_health_tells_services_from_the_whole(here, socket):
    with here.stubs(socket) as stubs:
        assert {health(stubs.channel, service) for service in SERVICES} == {SERVING}
        assert health(stubs.channel) == NOT_SERVING  # nothing is trained yet
        at_work(here)
        eventually(lambda: health(stubs.channel) == SERVING)
        here.boards.clear("trainer")
        eventually(lambda: health(stubs.channel) == NOT_SERVING)


def test_health_watches_are_counted_and_starve_nobody(here):
    with here.stubs() as stubs:
        request = health_pb2.HealthCheckRequest(service=SERVICES[0])
        watch = health_pb2_grpc.HealthStub(stubs.channel).Watch
        watches = [watch(request, timeout=SECONDS) for _ in range(LONG_CALLS)]
        assert {next(each).status for each in watches} == {SERVING}
        assert failure_of(watch(request, timeout=SECONDS)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert health(stubs.channel, SERVICES[0]) == SERVING


def test_a_front_ends_while_its_health_is_watched_by_clients_that_come_and_go(house):
    made = house()
    for _ in range(5):
        with made.front(), made.stubs() as stubs:
            watch = health_pb2_grpc.HealthStub(stubs.channel).Watch
            for _ in range(LONG_CALLS):
                next(gone := watch(health_pb2.HealthCheckRequest(), timeout=SECONDS))
                gone.cancel()
                at_work(made)


def listed(stub):
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([question]), timeout=SECONDS)
    return {service.name for service in answer.list_services_response.service}


def test_reflection_lists_every_service_and_its_streams_are_counted(here):
    with here.stubs() as stubs:
        stub = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
        assert listed(stub) == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        watches = [
            stubs.training.WatchTraining(training_service_pb2.WatchTrainingRequest(), timeout=SECONDS)
            for _ in range(LONG_CALLS)
        ]
        for watch in watches:
            next(watch)
        error = failure_of(stub.ServerReflectionInfo(iter([]), timeout=SECONDS))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_method_that_does_not_exist_is_unimplemented(here):
    with here.stubs() as stubs:
        assert status_of(stubs.channel, "/titan.v1.SampleService/Nothing").code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_front_says_on_its_board_that_it_serves_and_then_that_it_stopped(house):
    made = house()
    assert made.boards.read("front") is None
    with made.front(), made.stubs() as stubs:
        assert made.boards.read("front").content["state"] == "serving"
        Conversation(stubs, "camera").push(batch_of(1, [0]))
        eventually(lambda: made.boards.read("front").content["streams"])
        (stream,) = made.boards.read("front").content["streams"]
        assert (stream["stream_id"], stream["accepted"]) == ("camera", 1)
        assert made.boards.read("front").content["stages"]["admit"]["count"] == 1
        written = made.boards.read("front").written_ns
        eventually(lambda: made.boards.read("front").written_ns > written)
    assert made.boards.read("front").content["state"] == "stopped"
