"""Whatever is sent to the front, at whatever level: it lives, says what is wrong, and the ledger balances."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
from importlib.util import find_spec

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.hostile import messages
from tests.front.house import SECONDS, House, batch_of, config_in, info_of
from tests.front.process import ENVIRONMENT, ROOT, front_process
from titan.v1 import sample_service_pb2, snapshot_service_pb2, telemetry_service_pb2, training_service_pb2
from titan.v1.sample_service_pb2 import PushSamplesRequest, StreamOpen
from titan.v1.training_service_pb2 import GetTrainingRequest
from titand.clock import SystemClock
from titand.errors import StorageError
from titand.runtime.arena import TRAINED
from titand.runtime.counters import counts_of
from titand.storage.snapshots import SnapshotStore

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in (sample_service_pb2, training_service_pb2, snapshot_service_pb2, telemetry_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
UNSTATED = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)
FUZZ_SECONDS = 600
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OPEN = PushSamplesRequest(open=StreamOpen(stream_id="s"))
AMOUNT = pytest.mark.parametrize(
    "amount", [60, pytest.param(2000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])]
)


class Target:
    """A front that runs, and both of its sockets.

    Args:
        house: its memories.
        process: it.
        log: what it says.
    """

    def __init__(self, house, process, log) -> None:
        self._house, self._process, self._log = house, process, log
        self.paths = [str(house.folder / name) for name in ("titand.sock", "admin.sock")]
        self.channels = [grpc.insecure_channel(f"unix:{path}") for path in self.paths]

    def send(self, channel: grpc.Channel, path: str, requests: list[bytes]) -> grpc.RpcError | None:
        """Call a method with these requests, and return how it failed; what goes on without an end is cut short."""
        method = METHODS[path]
        if method.client_streaming:
            call = channel.stream_stream(path)(iter(requests), timeout=SECONDS)
        else:
            call = channel.unary_stream(path)(requests[0], timeout=SECONDS)
        try:
            for _ in call:
                if path.startswith("Watch", path.rindex("/") + 1):
                    call.cancel()
                    return None
        except grpc.RpcError as error:
            return error
        return None

    def check(self) -> None:
        """The front lives and answers, its books balance, and nothing of what it said was a bug's doing."""
        assert self._process.poll() is None
        for channel in self.channels:
            training = channel.unary_unary("/titan.v1.TrainingService/GetTraining")
            training(GetTrainingRequest().SerializeToString(), timeout=SECONDS)
        assert counts_of(self._house.arena).is_balanced
        self._house.take(TRAINED)  # so that there is room for the next
        self._log.seek(0)
        assert "a call failed" not in self._log.read()


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A front with a snapshot, where nobody else does any work."""
    house = House(config_in(tmp_path_factory.mktemp("f")), 64, Refusing(), Refusing(), Refusing())
    house.boards.write("telemetry", {"read_time_ns": SystemClock().monotonic_ns()})
    store = SnapshotStore(house.folder / "snapshots")
    store.create(1, [bytes(100)], model=house.config.model_spec, create_time_ns=10**18, metrics={}, parent="", note="")
    with (house.folder / "said").open("w+") as log, front_process(house, log=log) as front:
        yield Target(house, front.process, log)
        front.process.terminate()
        assert front.process.wait(SECONDS) == 0


class Refusing(dict):
    """Whoever is asked anything refuses."""

    def __missing__(self, verb: str):
        def refuse(**question):
            raise StorageError("DISK_FULL", "The disk is full.", "Make room.")

        return refuse


def is_stated(error: grpc.RpcError | None) -> bool:
    """Tell whether a call ended well, or with a reason and a remedy; what is no verb here is said by gRPC itself."""
    if error is None or error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return True
    return error.code() not in UNSTATED and bool(info_of(error).reason) and bool(info_of(error).metadata["remedy"])


def is_message(path: str, data: bytes) -> bool:
    try:
        GetMessageClass(METHODS[path].input_type).FromString(data)
    except DecodeError:
        return False
    return True


@AMOUNT
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.rpartition("/")[2])
def test_a_hostile_message_gets_a_stated_answer(target, tally, path, amount):
    @settings(max_examples=amount)
    @given(st.lists(messages(METHODS[path].input_type), min_size=1, max_size=3), st.sampled_from(target.channels))
    def check(requests, channel):
        tally["hostile message"] += len(requests)
        error = target.send(channel, path, [each.SerializeToString() for each in requests])
        assert is_stated(error), error

    check()
    target.check()


@AMOUNT
def test_a_hostile_batch_on_an_open_stream_is_settled_or_refused(target, tally, amount):
    batches = messages(PushSamplesRequest.DESCRIPTOR.fields_by_name["batch"].message_type)

    @settings(max_examples=amount)
    @given(st.lists(batches | st.just(batch_of(1, [0, 99])), min_size=1, max_size=4))
    def check(hostile):
        tally["hostile message"] += len(hostile)
        requests = [OPEN, *(PushSamplesRequest(batch=each) for each in hostile)]
        path = "/titan.v1.SampleService/PushSamples"
        error = target.send(target.channels[0], path, [each.SerializeToString() for each in requests])
        assert is_stated(error), error

    check()
    target.check()


@AMOUNT
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.rpartition("/")[2])
def test_bytes_that_are_no_message_end_their_call_only(target, tally, path, amount):
    @settings(max_examples=amount)
    @given(st.data(), st.sampled_from(target.channels))
    def check(data, channel):
        whole = data.draw(messages(METHODS[path].input_type)).SerializeToString()
        garbage = data.draw(st.binary(max_size=40) | st.integers(0, len(whole)).map(lambda cut: whole[:cut] + b"\xff"))
        error = target.send(channel, path, [garbage])
        tally["bytes that are no message"] += 1
        assert is_stated(error), error
        assert error is not None or is_message(path, garbage)

    check()
    target.check()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


FRAMES = st.builds(frame, st.integers(0, 12), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=60))


@AMOUNT
def test_garbage_on_a_socket_ends_its_connection_only(target, tally, amount):
    @settings(max_examples=5 * amount)
    @given(st.binary(max_size=200) | st.lists(FRAMES, max_size=6).map(lambda sent: PREFACE + b"".join(sent)),
           st.sampled_from(target.paths))  # fmt: skip
    def check(garbage, path):
        tally["garbage on a socket"] += 1
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(path)
            try:
                connection.sendall(garbage)
            except OSError:
                pass  # it has heard enough

    check()
    target.check()


@pytest.mark.nightly
@pytest.mark.timeout(FUZZ_SECONDS + 300)
def test_a_fuzzer_finds_no_batch_that_breaks_a_law(tally):
    if find_spec("atheris") is None:
        pytest.skip("atheris is not installed: make nightly does, where it has a wheel")
    command = [sys.executable, "-m", "tests.faults.fuzz", str(FUZZ_SECONDS)]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tally["batch made up by a fuzzer"] += int(re.search(r"^Done (\d+) runs", done.stderr, re.MULTILINE)[1])
