"""Ingestion: samples per second into the arena, and what they cost, beside a raw socket in the same run.

    python -m benchmarks.ingest [--rounds 5] [--seconds 2] [--budget MINUTES]

The front runs as it does in the daemon, alone; another process empties the arena as the selector would. The client
pushes 3 x 32 x 32 bytes in batches of 32 over the bidirectional stream. In between, as many bytes go through a bare
Unix socket, one `send` and one `recv_into` per sample. CPU time is the server's, user and system.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.context import ForkProcess

import titan
from benchmarks import measure
from benchmarks.measure import cpu_seconds, memory_megabytes, summary
from titand.clock import SystemClock
from titand.config import config_from_json, config_to_json
from titand.runtime.arena import FILLED, FILTERED, Arena, ArenaLayout, create_arena
from titand.runtime.boards import Boards, create_boards
from titand.runtime.channels import channel_pair
from titand.runtime.descriptors import Descriptors, create_text

SAMPLE = 3 * 32 * 32
BATCH = 32
CONFIG = """{"model": {"architecture": "mobilenet_v1", "labels": ["a", "b", "c"],
"input": {"data_type": "uint8", "shape": [3, 32, 32]}}, "service": {"runtime_directory": "%s"}}"""


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ti") as folder:
        front, drain = _start_front(folder)
        pushed, raw = [], []
        try:
            address = f"unix:{folder}/titand.sock"
            _push(address, 0.5, front.pid)
            for _ in measure.repeats(options.rounds, options.budget):
                pushed.append(_push(address, options.seconds, front.pid))
                raw.append(_raw(folder, options.seconds))
        finally:
            front.send_signal(signal.SIGTERM)
            front.wait(10)
            drain.kill()
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


def _start_front(folder: str) -> tuple[subprocess.Popen[bytes], ForkProcess]:
    clock = SystemClock()
    config = config_from_json(CONFIG % folder)
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
