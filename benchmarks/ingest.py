"""Ingestion: samples per second into the arena, and what they cost, beside a raw socket in the same run.

    python -m benchmarks.ingest [--rounds 5] [--seconds 2] [--durable] [--budget MINUTES]

With --durable instead: with the log of samples beside without it, and how long an acknowledgement takes. Checkpoints
are only pretended, so that the log never waits for one.

The front runs as it does in the daemon, alone; another process empties the arena as the selector would. The client
pushes 3 x 32 x 32 bytes in batches of 32 over the bidirectional stream. In between, as many bytes go through a bare
Unix socket, one `send` and one `recv_into` per sample. CPU time is the server's, user and system.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkProcess
from pathlib import Path

import grpc

import titan
from benchmarks import measure
from benchmarks.measure import cpu_seconds, memory_megabytes, summary
from titan.v1 import sample_service_pb2 as pb
from titan.v1 import sample_service_pb2_grpc as pb_grpc
from titand.clock import SystemClock
from titand.config_text import config_from_json, config_to_json
from titand.runtime.arena import FILLED, FILTERED, Arena, ArenaLayout, create_arena
from titand.runtime.boards import Boards, create_boards
from titand.runtime.channels import channel_pair
from titand.runtime.counters import LOGGED
from titand.runtime.descriptors import Descriptors, create_text

SAMPLE = 3 * 32 * 32
BATCH = 32
CONFIG = """{"model": {"architecture": "mobilenet_v1", "labels": ["a", "b", "c"],
"input": {"data_type": "uint8", "shape": [3, 32, 32]}}, "ingest": {"durable": %s},
"service": {"runtime_directory": "%s", "state_directory": "%s"}}"""
SINGLE_PUSHES = 300


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--durable", action="store_true", help="measure the log of samples, beside none")
    options = parser.parse_args()
    if options.durable:
        found = [_durable(options.seconds) for _ in measure.repeats(options.rounds, options.budget)]
        measure.publish(
            "ingest",
            options.folder / "durable",
            {name: {each: summary([run[name][each] for run in found]) for each in found[0][name]} for name in found[0]},
        )
        return
    with tempfile.TemporaryDirectory(prefix="ti") as folder:
        pushed, raw = [], []
        with _front_in(folder) as (address, pid):
            _push(address, 0.5, pid)
            for _ in measure.repeats(options.rounds, options.budget):
                pushed.append(_push(address, options.seconds, pid))
                raw.append(_raw(folder, options.seconds))
    result = {
        "samples_per_second": summary([run[0] for run in pushed]),
        "server_cpu_us_per_sample": summary([run[1] * 1e6 for run in pushed]),
        "client_cpu_us_per_sample": summary([run[2] * 1e6 for run in pushed]),
        "raw_samples_per_second": summary([run[0] for run in raw]),
        "raw_server_cpu_us_per_sample": summary([run[1] * 1e6 for run in raw]),
        "server_cpu_over_raw": summary([a[1] / b[1] for a, b in zip(pushed, raw, strict=True)]),
        "front_anon_megabytes": max(run[3] for run in pushed),
    }
    measure.publish("ingest", options.folder, result)


def _durable(seconds: float) -> dict[str, dict[str, float]]:
    """Return throughput, latency and writes, with the log and without."""
    found = {}
    for name, durable in (("logged", True), ("not logged", False)):
        with tempfile.TemporaryDirectory(prefix="ti") as folder, _front_in(folder, durable) as (address, pid):
            _push(address, 0.5, pid)
            before = _log_of(address)
            samples_per_second, server_cpu, _, _ = _push(address, seconds, pid)
            after = _log_of(address)
            latencies = sorted(_latencies(address))
        count = after[0] - before[0]
        found[name] = {
            "samples_per_second": samples_per_second,
            "server_cpu_us_per_sample": server_cpu * 1e6,
            "flushes_per_1000_samples": 1000 * (after[1] - before[1]) / count,
            "log_bytes_per_sample": (after[2] - before[2]) / count,
            "acknowledged_p50_ms": latencies[len(latencies) // 2],
            "acknowledged_p95_ms": latencies[int(len(latencies) * 0.95)],
        }
    return found


def _log_of(address: str) -> tuple[int, int, int]:
    """Return samples taken, flushes, and bytes written; they are a second old at most."""
    time.sleep(1.2)
    with titan.Client(address) as client:
        training = client.training()
    assert training.sample_ledger is not None
    assert training.daemon is not None
    assert training.daemon.durability is not None
    flushes = training.daemon.durability.log_flush_count
    return training.sample_ledger.pushed_count, flushes, training.daemon.written_today_bytes


def _latencies(address: str) -> Iterator[float]:
    """Yield the milliseconds from sending one sample to its acknowledgement, one after the other."""
    sending: queue.SimpleQueue[pb.PushSamplesRequest] = queue.SimpleQueue()
    sending.put(pb.PushSamplesRequest(open=pb.StreamOpen()))
    with grpc.insecure_channel(address) as channel:
        answers = pb_grpc.SampleServiceStub(channel).PushSamples(iter(sending.get, None))
        spec = next(answers).opened.input_spec
        data = os.urandom(SAMPLE)
        for sequence in range(1, SINGLE_PUSHES + 1):
            batch = pb.SampleBatch(first_sequence=sequence, spec=spec, labels=[1], data=data)
            start = time.perf_counter()
            sending.put(pb.PushSamplesRequest(batch=batch))
            while next(answers).acknowledgement.acknowledged_sequence < sequence:
                pass
            yield 1e3 * (time.perf_counter() - start)


def _cover(arena: Arena, boards: Boards) -> None:
    """Say again and again that a checkpoint has everything, as a trainer does that writes them fast enough."""
    while True:
        boards.write("trainer", {"checkpoint": {"sequence": arena.counters[LOGGED]}})
        time.sleep(0.05)


@contextmanager
def _front_in(folder: str, durable: bool = False) -> Iterator[tuple[str, int]]:
    """A front whose arena is emptied as fast as it fills: its address, and its process id."""
    (Path(folder) / "log").mkdir()
    front, drain = _start_front(folder, durable)
    try:
        yield f"unix:{folder}/titand.sock", front.pid
    finally:
        front.send_signal(signal.SIGTERM)
        front.wait(10)
        drain.kill()


def _start_front(folder: str, durable: bool) -> tuple[subprocess.Popen[bytes], ForkProcess]:
    clock = SystemClock()
    config = config_from_json(CONFIG % (str(durable).lower(), folder, folder))
    arena = create_arena(ArenaLayout.fitting(config.ingest.arena_bytes, SAMPLE, 256, 16384))
    ours, theirs = channel_pair()
    trainer, selector = channel_pair()  # nobody will answer
    shared = Descriptors(
        create_text(config_to_json(config)),
        create_boards(),
        arena,
        os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC),
        supervisor=theirs.fileno(),
        trainer=trainer.fileno(),
        selector=selector.fileno(),
    )
    drain = multiprocessing.get_context("fork").Process(target=_drain, args=(arena, shared.filled))
    drain.start()
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0", "MALLOC_ARENA_MAX": "2"}
    command = [sys.executable, "-m", "titand.front.server", "--fds", shared.to_argument()]
    front = subprocess.Popen(command, pass_fds=shared.all(), env=environment)
    boards = Boards(shared.boards, clock)
    while boards.read("front") is None:
        if front.poll() is not None:
            drain.kill()
            raise SystemExit("the front has ended before it began")
        time.sleep(0.02)
    if durable:
        threading.Thread(target=_cover, args=(Arena(arena), boards), daemon=True).start()
    _KEEP.extend([ours, trainer, selector])
    return front, drain


_KEEP: list[socket.socket] = []


def _drain(descriptor: int, filled: int) -> None:
    """Empty the arena as fast as it fills, as the selector does when it filters everything."""
    arena = Arena(descriptor)
    while True:
        arena.mark(arena.slots_in(FILLED), FILTERED)
        time.sleep(0.002)


def _push(address: str, seconds: float, front: int) -> tuple[float, float, float, float]:
    """Return samples per second, CPU seconds per sample of server and client, and the server's memory."""
    data = memoryview(os.urandom(SAMPLE * BATCH)).cast("B", shape=[BATCH, 3, 32, 32])
    labels = [1] * BATCH
    with titan.Client(address) as client:
        client.push_batch(data, labels)
        client.flush(10)
        own, server, start, count = time.process_time(), cpu_seconds(front), time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(16):
                client.push_batch(data, labels)
            count += 16 * BATCH
        totals = client.flush(30)
        took = time.perf_counter() - start
        if totals.accepted < count:
            raise SystemExit(f"not everything was accepted: {totals}")
        server_cpu, client_cpu = cpu_seconds(front) - server, time.process_time() - own
        return count / took, server_cpu / count, client_cpu / count, memory_megabytes(front)["anon"]


def _raw(folder: str, seconds: float) -> tuple[float, float]:
    """Return samples per second and CPU seconds per sample of the receiving side of a bare socket."""
    ready, done = multiprocessing.Pipe()
    path = f"{folder}/raw.sock"
    server = multiprocessing.get_context("fork").Process(target=_raw_server, args=(path, done))
    server.start()
    ready.recv()
    data = os.urandom(SAMPLE)
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(path)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(256):
                end.sendall(data)
            count += 256
        end.shutdown(socket.SHUT_WR)
        received, cpu = ready.recv()
        took = time.perf_counter() - start
    server.join()
    os.unlink(path)
    if received != count:
        raise SystemExit(f"{count} samples sent, {received} received")
    return count / took, cpu / count


def _raw_server(path: str, done: multiprocessing.connection.Connection) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        done.send(True)
        end, _ = listening.accept()
        slot, count = bytearray(SAMPLE), 0
        view = memoryview(slot)
        start = time.process_time()
        while True:
            got = end.recv_into(view, SAMPLE, socket.MSG_WAITALL)
            if not got:
                break
            count += 1
        done.send((count, time.process_time() - start))


if __name__ == "__main__":
    main()
