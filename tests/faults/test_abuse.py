"""Clients that are too many, too slow, silent, frozen or gone: the others are served, and nothing of them stays."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import grpc
import pytest

from tests.faults.processes import cpu_seconds_of, descriptors_of, memory_of, threads_of
from tests.front.house import SECONDS, Conversation, House, Stubs, batch_of, config_in, eventually
from tests.front.process import ENVIRONMENT, front_process
from titan.v1.sample_service_pb2 import PushSamplesRequest, StreamOpen
from titan.v1.snapshot_service_pb2 import DownloadSnapshotRequest
from titan.v1.training_service_pb2 import GetTrainingRequest
from titand.front.streams import LONG_CALLS
from titand.runtime.counters import counts_of
from titand.storage.snapshots import SnapshotStore

MEBIBYTE = 1 << 20
CONNECTIONS = 10_000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FROZEN = """
import sys, titan, time
client = titan.Client(sys.argv[1])
client.push_batch([bytes(4)] * 10, [0] * 10)
client.flush()
print("pushed", flush=True)
while True:
    client.push(bytes(4), 0)
"""


class Target:
    """A running front, its size at rest, and a client that behaves."""

    def __init__(self, house: House, process: subprocess.Popen[str], stubs: Stubs) -> None:
        self.house, self.pid, self.stubs = house, process.pid, stubs
        self.path = str(house.folder / "titand.sock")
        self.ask()
        self.at_rest = {"memory": memory_of(self.pid), "descriptors": descriptors_of(self.pid)}
        self.threads = threads_of(self.pid)

    def ask(self) -> float:
        """Return how many seconds a status takes."""
        start = time.monotonic()
        training = self.stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS)
        assert training.sample_ledger.pushed_count == counts_of(self.house.arena).pushed
        return time.monotonic() - start

    def grown(self) -> float:
        """Return how many MiB it is larger than at rest."""
        return (memory_of(self.pid) - self.at_rest["memory"]) / MEBIBYTE

    def connect(self) -> socket.socket:
        """Return a connection that says nothing yet."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.path)  # without a timeout: with one, a full queue is an error at once
            connection.settimeout(SECONDS)
        except OSError:
            connection.close()
            raise
        return connection

    def check_that_all_are_gone(self) -> None:
        """What the abusers had is given back, and a new client is served."""
        eventually(lambda: descriptors_of(self.pid) <= self.at_rest["descriptors"] + 20)
        with self.house.stubs() as stubs:
            assert Conversation(stubs).push(batch_of(1, [0])).acknowledged_sequence == 1
        assert counts_of(self.house.arena).is_balanced


@pytest.fixture
def target(tmp_path):
    house = House(config_in(tmp_path), slot_count=16_384)
    with (tmp_path / "said").open("w+") as log, front_process(house, log=log) as front, house.stubs() as stubs:
        yield Target(house, front.process, stubs)
        front.process.terminate()
        assert front.process.wait(SECONDS) == 0


@pytest.fixture
def many_descriptors():
    """Let this process, and what it starts, open as many files as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < CONNECTIONS + 500:
        pytest.skip(f"{before[1]} descriptors are too few for {CONNECTIONS} connections (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("waves", [1, pytest.param(8, marks=pytest.mark.nightly)])
def test_ten_thousand_connections_that_say_nothing_are_let_go(many_descriptors, target, tally, waves):
    grown = []
    for _ in range(waves):
        with ExitStack() as silent:
            for place in range(CONNECTIONS):
                connection = silent.enter_context(target.connect())
                if place % 2:
                    with contextlib.suppress(OSError):  # it may have been let go already
                        connection.sendall(PREFACE)  # and never the rest of the greeting
            asked, threads = target.ask(), threads_of(target.pid)
            grown.append(target.grown())
            eventually(lambda: descriptors_of(target.pid) < target.at_rest["descriptors"] + 20)
        print(f"\n{CONNECTIONS} silent connections: a status in {asked:.2f} s, {grown[-1]:.0f} MiB, {threads} threads")
        assert threads <= target.threads + 20
        tally["silent connection"] += CONNECTIONS
    assert max(grown) < 20
    target.check_that_all_are_gone()


def test_when_descriptors_run_out_those_who_are_connected_are_served(target, tally):
    stream = Conversation(target.stubs)
    few = descriptors_of(target.pid) + 40
    resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (few, few))
    with ExitStack() as crowd:
        for _ in range(200):
            crowd.enter_context(target.connect())
        used, start, sequence = cpu_seconds_of(target.pid), time.monotonic(), 0
        while (passed := time.monotonic() - start) < 1.0:
            sequence += 1
            assert stream.push(batch_of(sequence, [0])).acknowledged_sequence == sequence
            target.ask()
        busy = (cpu_seconds_of(target.pid) - used) / passed
        print(f"\n{few} descriptors, 200 connections: {busy:.0%} of a processor while {sequence} pushes were answered")
    target.check_that_all_are_gone()
    tally["descriptors ran out"] += 1


def test_streams_that_are_opened_and_dropped_leave_nothing(target, tally):
    count = 1000
    threads = 0
    for place in range(count):
        call = target.stubs.samples.PushSamples(
            iter([PushSamplesRequest(open=StreamOpen(stream_id=f"s{place % 100}"))])
        )
        if place % 3:
            with contextlib.suppress(grpc.RpcError):  # too many at once, where it is slow to see that one is gone
                next(call)
        call.cancel()
        threads = max(threads, threads_of(target.pid))
    eventually(lambda: not target.stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS).streams)
    print(f"\n{count} streams opened and dropped: {threads} threads at most, {target.grown():.1f} MiB larger")
    assert threads <= target.threads + 120
    assert target.grown() < 20
    target.check_that_all_are_gone()
    tally["stream opened and dropped"] += count


def test_readers_that_do_not_read_hold_up_nobody_and_hold_no_memory(target, tally):
    store = SnapshotStore(target.house.folder / "snapshots")
    content = [bytes(MEBIBYTE)] * 64
    store.create(1, content, model=target.house.config.model_spec, create_time_ns=1, metrics={}, parent="", note="")
    request = DownloadSnapshotRequest(name="snapshots/latest")
    calls = [target.stubs.snapshots.DownloadSnapshot(request) for _ in range(LONG_CALLS)]
    for call in calls:
        next(call)
    asked = max(target.ask() for _ in range(100))
    print(f"\n{LONG_CALLS} downloads of 64 MiB that nobody reads: {target.grown():.0f} MiB, a status in {asked:.3f} s")
    assert target.grown() < 8 * LONG_CALLS
    for call in calls:
        call.cancel()
    target.check_that_all_are_gone()
    tally["reader that does not read"] += LONG_CALLS


def test_a_client_that_freezes_while_it_pushes_holds_up_nobody(target, tally):
    command = [sys.executable, "-c", FROZEN, target.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as client:
        try:
            assert client.stdout.readline() == b"pushed\n"
            client.send_signal(signal.SIGSTOP)
            stream = Conversation(target.stubs)
            for sequence in range(1, 500):
                assert stream.push(batch_of(sequence, [0])).acknowledged_sequence == sequence
            target.ask()
        finally:
            client.kill()
    target.check_that_all_are_gone()
    tally["frozen client"] += 1


def test_messages_that_are_too_large_end_their_streams_only(target, tally):
    huge = bytes(target.house.config.ingest.max_message_bytes + 1)
    push = target.stubs.channel.stream_stream("/titan.v1.SampleService/PushSamples")
    for _ in range(5):
        with pytest.raises(grpc.RpcError) as caught:
            list(push(iter([huge]), timeout=SECONDS))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert target.grown() < 40
    target.check_that_all_are_gone()
    tally["message too large"] += 5
