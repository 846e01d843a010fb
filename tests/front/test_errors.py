"""Every error of the family reaches a client with its reason and remedy; nothing else leaks."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.front.house import SECONDS, failure_of, info_of
from titand.errors import NotFound, TitanError
from titand.front.errors import STATUS, ErrorAnswers
from titand.runtime.log import Log

METHOD = "/titan.v1.TestService/Fail"


def family(kind):
    return {kind}.union(*map(family, kind.__subclasses__()))


@pytest.fixture
def failing(tmp_path):
    """Call a service that raises, by unary and by stream; return the status."""
    servers = []

    def call(error, streams):
        def fail(request, context):
            raise error

        def fail_late(request, context):
            yield b"one"
            raise error

        kind, behaviour = (
            (grpc.unary_stream_rpc_method_handler, fail_late)
            if streams
            else (grpc.unary_unary_rpc_method_handler, fail)
        )
        server = grpc.server(ThreadPoolExecutor(1), interceptors=[ErrorAnswers(Log("front", "info", {}))])
        servers.append(server)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("titan.v1.TestService", {"Fail": kind(behaviour)}),)
        )
        address = f"unix:{tmp_path}/s"
        server.add_insecure_port(address)
        server.start()
        with grpc.insecure_channel(address) as channel:
            if streams:
                return failure_of(channel.unary_stream(METHOD)(b"", timeout=SECONDS))
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(METHOD)(b"", timeout=SECONDS)
            return caught.value

    yield call
    for server in servers:
        server.stop(None).wait()


def test_every_error_has_a_status():
    assert family(TitanError) - {TitanError} == set(STATUS)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("kind", STATUS)
def test_an_error_travels_with_reason_message_remedy_and_facts(failing, kind, streams):
    status = failing(kind("SOME_REASON", "It is so.", "Do this.", {"limit": "3"}), streams)
    assert (status.code(), status.details()) == (STATUS[kind], "It is so.")
    info = info_of(status)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "SOME_REASON",
        "titand",
        {"limit": "3", "remedy": "Do this."},
    )


def test_an_error_without_a_remedy_has_none(failing):
    assert dict(info_of(failing(NotFound("GONE", "It is gone."), False)).metadata) == {}


@pytest.mark.parametrize("streams", [False, True])
def test_anything_else_is_logged_and_tells_the_client_nothing(failing, streams, capfd):
    status = failing(ValueError("secret path /root"), streams)
    assert status.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in status.details()
    (line,) = capfd.readouterr().err.splitlines()
    assert "secret" in line
    assert METHOD in line
