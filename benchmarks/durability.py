"""What keeping state costs the medium, and how soon a killed service is back.

python -m benchmarks.durability [--runs 5] [--budget MINUTES]

Bytes and flushes are counted where they reach the medium: under an ext4 of its own, whose every write is logged. Times
are of the disk under the temporary folder. Needs root, and qemu-storage-daemon.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import titan
from benchmarks import measure
from benchmarks.measure import summary
from tests.e2e.daemon import Daemon, stream
from tests.faults.power_cuts import FLUSH, FUA, RecordedDisk
from titand.storage.bundles import load_newest, write_bundle
from titand.storage.ring_file import record_bytes
from titand.storage.ring_log import RingLog

# As the daemon writes them with plain SGD: the parameters, and a little more.
CHECKPOINTS = {"digits_cnn": 54_824, "mobilenet_v1": 12_900_000, "resnet50": 94_000_000}
MESSAGES = {"1 sample of 3 kB": 3_200, "32 samples of 3 kB": 98_400}
LOG_BYTES = 8 << 20
ROUNDS = 200
WINDOW = 50


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    back = [_time_to_return() for _ in measure.repeats(options.runs, options.budget)]
    measure.publish(
        "durability",
        options.folder,
        {
            "checkpoints": {name: _checkpoint(size, options.runs) for name, size in CHECKPOINTS.items()},
            "messages": {name: _messages(size) for name, size in MESSAGES.items()},
            "rounds": {"checkpoints alone": _rounds(durable=False), "samples logged too": _rounds(durable=True)},
            "accepts_again_seconds": summary([accepted for accepted, _ in back]),
            "trains_again_seconds": summary([trained for _, trained in back]),
        },
    )


def _checkpoint(size_bytes: int, runs: int) -> Mapping[str, Any]:
    """Return what one checkpoint of so many bytes costs."""
    sections = {"state": os.urandom(size_bytes)}
    with tempfile.TemporaryDirectory(prefix="ti") as folder:
        with RecordedDisk(Path(folder), size_bytes * 5 // 2**20 + 64) as disk:
            write_bundle(disk.folder, 1, sections)
            before = disk.position
            write_bundle(disk.folder, 2, sections)
            cost = _cost(disk, before)
        write, load = [], []
        (own := Path(folder) / "own").mkdir()
        for generation in range(1, runs + 2):
            start = time.perf_counter()
            write_bundle(own, generation, sections)
            write.append(1e3 * (time.perf_counter() - start))
            start = time.perf_counter()
            assert load_newest(own)[0] is not None
            load.append(1e3 * (time.perf_counter() - start))
    return {"state_bytes": size_bytes, **cost, "write_ms": summary(write[1:]), "load_ms": summary(load[1:])}


def _messages(size_bytes: int) -> Mapping[str, Any]:
    """Return what a logged message of so many bytes costs the medium, on the log's first lap and on its second."""
    lap, part = LOG_BYTES // record_bytes(size_bytes), bytes(size_bytes)
    with tempfile.TemporaryDirectory(prefix="ti") as folder, RecordedDisk(Path(folder), 64) as disk:
        with closing(RingLog.create(disk.folder / "log", LOG_BYTES)) as log:
            positions = [disk.position]
            for sequence in range(1, 2 * lap):
                if record_bytes(size_bytes) > log.free_bytes:
                    log.release(sequence - lap // 2)
                log.append(sequence, [part])
                log.flush()
                positions.append(disk.position)
        half = lap // 2
        laps = {"first lap": positions[: half + 1], "second lap": positions[-half - 1 :]}
        return {
            name: {each: cost / half for each, cost in _cost(disk, each_lap[0], each_lap[-1]).items()}
            for name, each_lap in laps.items()
        }


def _rounds(durable: bool) -> Mapping[str, Any]:
    """Return what so many rounds of a running service cost the medium, each as soon as its window is full."""
    with tempfile.TemporaryDirectory(prefix="ti", dir="/tmp") as folder:
        (disk_folder := Path(folder) / "disk").mkdir()
        with RecordedDisk(disk_folder, 256) as disk:
            changes = {
                "service.state_directory": str(disk.folder),
                "storage.checkpoint_seconds": 60.0,
                "round.min_samples": WINDOW,
                "ingest.durable": durable,
            }
            daemon = Daemon(Path(folder), changes).start()
            try:
                daemon.push(4 * WINDOW)
                first = daemon.until(lambda training: training.round_count > 0 and training.state == "waiting")
                before, pushed, windows = disk.position, 0, stream(10**9, seed=1)
                with titan.Client(daemon.address) as client:
                    while (training := client.training()).round_count < first.round_count + ROUNDS:
                        x, label = next(windows)
                        client.push_batch(x[:WINDOW], label[:WINDOW])
                        pushed += len(x[:WINDOW])
                        client.flush(60)
                cost = _cost(disk, before)
                rounds = training.round_count - first.round_count
            finally:
                daemon.clean_up()
    return {"rounds": rounds, "samples": pushed, **{f"{name}_a_round": each / rounds for name, each in cost.items()}}


def _cost(disk: RecordedDisk, before: int, after: int | None = None) -> dict[str, int]:
    """Return what has reached the medium between two positions."""
    requests = disk.requests()[before:after]
    return {
        "medium_bytes": sum(request.bytes for request in requests),
        "writes": sum(request.bytes > 0 for request in requests),
        "flushes": sum(bool(request.flags & (FLUSH | FUA)) for request in requests),
    }


def _time_to_return() -> tuple[float, float]:
    """Kill a whole service, start it again; return when the first sample is accepted, and when it has trained on."""
    with tempfile.TemporaryDirectory(prefix="ti", dir="/tmp") as folder:
        daemon = Daemon(Path(folder), {"storage.checkpoint_seconds": 0.1}).start()
        try:
            daemon.push(500)
            daemon.until(lambda training: training.round_count > 0 and training.state == "waiting")
            daemon.until_log("checkpoint version=")
            daemon.signal(signal.SIGKILL)
            daemon.ended()
            start = time.perf_counter()
            daemon.start()
            daemon.push(1)
            accepted = time.perf_counter() - start
            rounds = daemon.until(lambda training: training.round_count > 0).round_count
            daemon.push(2 * WINDOW, seed=1)
            daemon.until(lambda training: training.round_count > rounds)
            return accepted, time.perf_counter() - start
        finally:
            daemon.clean_up()


if __name__ == "__main__":
    main()
