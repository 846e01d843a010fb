"""The front as a process: it starts, ends, is killed and followed, and stays small."""

import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

import grpc
import pytest

from tests.front.house import SECONDS, SPEC, Conversation, batch_of, config_in, eventually, failure_of, info_of
from tests.front.process import ENVIRONMENT, front_process
from titan.v1.sample_service_pb2 import PushSamplesRequest, SampleBatch, StreamOpen
from titan.v1.training_service_pb2 import GetTrainingRequest
from titand.runtime.arena import FILLED, TRAINED

# A producer in a process of its own: opens a stream, says so, and keeps it open.
PRODUCER = """
import sys, grpc
from titan.v1 import sample_service_pb2 as pb, sample_service_pb2_grpc as pb_grpc
def requests():
    yield pb.PushSamplesRequest(open=pb.StreamOpen(stream_id="camera"))
    sys.stdin.read()
channel = grpc.insecure_channel("unix:" + sys.argv[1])
for answer in pb_grpc.SampleServiceStub(channel).PushSamples(requests()):
    print("open", flush=True)
"""


def producer(house):
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(house.folder / "titand.sock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )


def ended(process):
    process.kill()
    process.communicate(timeout=SECONDS)


def test_sigterm_ends_it_in_order(house):
    here = house()
    with front_process(here) as front, here.stubs() as stubs:
        stream = Conversation(stubs)
        stream.push(batch_of(1, [0]))
        front.process.terminate()
        error = failure_of(stream.call)
        assert (error.code(), info_of(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DAEMON_STOPPING")
        status, log = front.end()
        assert status == 0
        assert [line.split(":")[0] for line in log.splitlines()] == ["front", "front"]
        assert not list(here.folder.glob("*.sock"))


def test_it_does_not_outlive_its_supervisor(house):
    here = house()
    with front_process(here) as front:
        front.supervisor.close()
        assert front.end()[0] == 0


def test_a_call_that_waits_for_the_trainer_does_not_hold_up_the_end(house):
    here = house()
    with front_process(here) as front, here.stubs("admin.sock") as admin:
        pause = admin.channel.unary_unary("/titan.v1.SnapshotService/CreateSnapshot").future(b"", timeout=60)
        eventually(lambda: here.boards.read("front") is not None)
        front.process.terminate()
        assert front.end()[0] == 0
        assert pause.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_a_path_that_is_taken_is_a_configuration_error_with_its_remedy(house):
    here = house()
    (here.folder / "admin.sock").touch()
    with front_process(here, wait=False) as front:
        status, log = front.end()
        assert status == os.EX_CONFIG
        assert "reason=SOCKET_PATH_TAKEN" in log
        assert "service.runtime_directory" in log


def with_a_runtime_folder(here):
    """A house whose sockets are in a folder that is yet to be made."""
    here.folder = here.folder / "run"
    service = dataclasses.replace(here.config.service, runtime_directory=str(here.folder))
    here.config = dataclasses.replace(here.config, service=service)
    return here


def test_sockets_that_are_deleted_under_it_are_made_again_by_its_successor(house):
    here = with_a_runtime_folder(house())
    with front_process(here) as front, here.stubs() as stubs:
        Conversation(stubs, "camera").push(batch_of(1, [0]))
        shutil.rmtree(here.folder)
        status, log = front.end()
        assert (status, "deleted or replaced" in log) == (os.EX_UNAVAILABLE, True)
    with front_process(here), here.stubs() as stubs:
        assert Conversation(stubs, "camera").opened.acknowledged_sequence == 1


def test_sockets_that_another_program_has_put_in_their_place_are_left_to_it(house):
    here = with_a_runtime_folder(house())
    with front_process(here) as front, socket.socket(socket.AF_UNIX) as other:
        path = here.folder / "admin.sock"
        path.rename(path.with_name("moved"))
        other.bind(str(path))
        assert front.end()[0] == os.EX_UNAVAILABLE
        assert path.is_socket()


def test_a_folder_that_cannot_be_made_is_no_end_of_the_daemon(house):
    here = with_a_runtime_folder(house())
    here.folder.touch()
    with front_process(here, wait=False) as front:
        status, log = front.end()
        assert (status, "cannot make its folder" in log) == (os.EX_UNAVAILABLE, True)


def test_no_acknowledged_sample_is_lost_and_none_is_taken_twice_whenever_it_is_killed(house):
    here = house(slot_count=4096)
    total, acknowledged = 2000, 0
    for after in (1, 30, 7, 90, None):  # acknowledgements until the kill
        with front_process(here) as front, here.stubs() as stubs:
            first = acknowledged + 1
            opening = threading.Event()
            stood = []

            def requests(opening=opening, stood=stood):
                yield PushSamplesRequest(open=StreamOpen(stream_id="camera"))
                opening.wait(SECONDS)
                for sequence in range(stood[0] + 1, total, 4):
                    yield PushSamplesRequest(batch=batch_of(sequence, [0] * min(4, total + 1 - sequence)))

            answers = stubs.samples.PushSamples(requests(), timeout=SECONDS)
            stood.append(next(answers).opened.acknowledged_sequence)
            assert stood[0] >= acknowledged, f"what was acknowledged up to {first - 1} is lost"
            opening.set()
            try:
                for heard, answer in enumerate(answers, 1):
                    acknowledged = answer.acknowledgement.acknowledged_sequence
                    if heard == after:
                        front.process.kill()
            except grpc.RpcError:
                assert after is not None
    sequences = [int.from_bytes(here.arena.sample(slot), "little") for slot in here.arena.slots_in(FILLED)]
    assert acknowledged == total
    assert sequences == list(range(1, total + 1))


def test_a_client_that_is_killed_is_noticed_at_once(house):
    here = house()
    with here.front() as front:
        client = producer(here)
        assert client.stdout.readline() == "open\n"
        assert len(front.streams.to_plain()) == 1
        ended(client)
        eventually(lambda: not front.streams.to_plain())


def test_a_client_that_is_frozen_is_noticed_by_its_silence(house):
    here = house()
    with here.front(keepalive_seconds=1.0, ping_seconds=0.5) as front:
        client = producer(here)
        assert client.stdout.readline() == "open\n"
        client.send_signal(signal.SIGSTOP)
        eventually(lambda: not front.streams.to_plain())
        ended(client)


def test_garbage_on_the_socket_is_hung_up_on(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        for _ in range(50):
            with socket.socket(socket.AF_UNIX) as garbage:
                garbage.connect(str(here.folder / "titand.sock"))
                garbage.sendall(os.urandom(512))
        assert Conversation(stubs).push(batch_of(1, [0])).acknowledged_sequence == 1


def anonymous_megabytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"Pss_Anon:\s+(\d+) kB", file.read())[1]) / 1024


def test_it_stays_below_30_megabytes_while_it_takes_samples_in(house, tmp_path):
    here = house(config=config_in(tmp_path, shape=(3, 32, 32), patience_seconds=60.0), slot_count=1024)
    batch = SampleBatch(spec=SPEC, labels=[0] * 32, data=bytes(32 * 3072))
    batch.spec.shape[:] = [3, 32, 32]
    total = 20_000
    done = threading.Event()

    def requests():
        yield PushSamplesRequest(open=StreamOpen())
        for sequence in range(1, total, 32):
            batch.first_sequence = sequence
            yield PushSamplesRequest(batch=batch)

    with front_process(here) as front, here.stubs() as stubs:
        worker = threading.Thread(target=lambda: eventually(lambda: (here.take(TRAINED) and False) or done.is_set()))
        worker.start()
        most = 0.0
        for answer in stubs.samples.PushSamples(requests(), timeout=60):
            assert not answer.acknowledgement.refusals
            most = max(most, anonymous_megabytes(front.process.pid))
        done.set()
        worker.join()
        training = stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS)
        assert training.sample_ledger.pushed_count == total
        assert most < 30


@pytest.mark.nightly
def test_four_hundred_silent_connections_are_let_go(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        silent = []
        try:
            for _ in range(400):
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(str(here.folder / "titand.sock"))
                silent.append(connection)
            assert Conversation(stubs).push(batch_of(1, [0])).acknowledged_sequence == 1
            for connection in silent:
                connection.settimeout(SECONDS)
                while connection.recv(4096):
                    pass
        finally:
            for connection in silent:
                connection.close()
