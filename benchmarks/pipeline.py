"""Round time with selection running in parallel over training alone, per model, one core each; and the hand-over.

    python -m benchmarks.pipeline [--models mlp,mobilenet_v1,...] [--seconds 8] [--pairs 3] [--budget MINUTES]

A: the trainer's core in a process on ready batches, nothing else running. B: the two worker processes of the daemon,
trainer pinned to core 0 and selector to core 1, the arena kept full. C: as A, beside a stranger on core 1 that runs
the same model's forward pass without end and shares nothing with us: what this machine's memory and caches alone cost.
The three alternate. All do the same rounds: copy the state, gather, forward, backward, update, publish.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from benchmarks.arguments import some_of
from benchmarks.measure import summary
from benchmarks.models import MODELS, config_of, random_samples
from benchmarks.service import pin
from titand.clock import SystemClock
from titand.config import Config
from titand.config_text import config_to_json
from titand.learning.models.zoo import build
from titand.learning.scoring import score
from titand.records import Batch
from titand.runtime.arena import SELECTED, Arena, ArenaLayout, create_arena
from titand.runtime.boards import Boards, create_boards, create_memory
from titand.runtime.channels import Channel, channel_pair
from titand.runtime.descriptors import Descriptors, create_text
from titand.runtime.ledger import Ledger
from titand.runtime.parameters import ParameterBoard, create_parameters
from titand.workers.assembly import Surroundings, build_trainer

SLOTS = 1024
CLOCK = SystemClock()


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--models", type=some_of(MODELS), default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    for name in options.models:
        alone, together, stranger, handover, select = [], [], [], [], []
        for _ in measure.repeats(options.pairs, options.budget / len(options.models)):
            alone.append(_alone(name, options.seconds))
            stranger.append(_beside_a_stranger(name, options.seconds))
            round_seconds, stages, selector = _together(name, options.seconds)
            together.append(round_seconds)
            select.append(selector["select"]["p50"])
            if "handover" in stages:
                handover.append(stages["handover"]["p50"])
        result[name] = {
            "alone_ms": summary([value * 1e3 for value in alone]),
            "together_ms": summary([value * 1e3 for value in together]),
            "ratio": summary([b / a for a, b in zip(alone, together, strict=True)]),
            "stranger_ratio": summary([c / a for a, c in zip(alone, stranger, strict=True)]),
            "select_ms": summary([value * 1e3 for value in select]),
            "handover_ms": summary([value * 1e3 for value in handover]) if handover else None,
        }
        print(name, result[name], flush=True)
    measure.publish("pipeline", options.folder, result)


def _config(name: str, folder: str) -> Config:
    service = {"state_directory": folder, "runtime_directory": folder, "log_level": "error"}
    return config_of(
        name,
        service=service,
        selection={"horizon_rounds": 0},  # the stream is noise: selection would come to rest, as it should
        evaluation={"held_out_ratio": 0.0},
        storage={"checkpoint_seconds": 1e6},
    )


def _alone(name: str, seconds: float) -> float:
    """Return the mean round time of the trainer's core in a process of its own."""
    command = [sys.executable, "-c", f"from benchmarks.pipeline import rounds; print(rounds({name!r}, {seconds}))"]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return float(output.stdout)


def _beside_a_stranger(name: str, seconds: float) -> float:
    """Return the mean round time beside a process that shares nothing but the machine."""
    command = [sys.executable, "-c", f"from benchmarks.pipeline import forward_passes; forward_passes({name!r})"]
    stranger = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE)
    assert stranger.stdout is not None
    try:
        stranger.stdout.readline()
        return _alone(name, seconds)
    finally:
        stranger.kill()
        stranger.wait()
        stranger.stdout.close()


def forward_passes(name: str) -> None:
    """Run a model forward on core 1 until killed."""
    os.sched_setaffinity(0, {1})
    os.nice(10)
    spec = config_of(name).model_spec
    model = build(spec, 0).eval()
    x = torch.randn(30, *spec.input.shape)
    print("ready", flush=True)
    while True:
        score(model, x)


def rounds(name: str, seconds: float) -> float:
    """Train on ready batches on core 0; return the mean seconds of a round."""
    os.sched_setaffinity(0, {0})
    os.nice(10)  # as the daemon's workers
    with tempfile.TemporaryDirectory() as folder:
        config = _config(name, folder)
        arena = Arena(create_arena(ArenaLayout(SLOTS, config.model_spec.input.size_bytes)))
        arena.data[:] = random_samples(config, SLOTS, 0)[0]
        boards = Boards(create_boards(), CLOCK)
        descriptors = Descriptors(parameters=create_parameters())
        around = Surroundings(config, arena, boards, None, descriptors, CLOCK)  # type: ignore[arg-type]
        worker = build_trainer(around)
        worker.begin(None, 0)
        generator = torch.Generator().manual_seed(0)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 5:
            slots = torch.randint(0, SLOTS, (10,), generator=generator).tolist()
            arena.mark(slots, SELECTED)
            start = time.perf_counter()
            worker.on_batch(Batch(worker.version + 1, tuple(slots), (1.0,) * 10, worker.version), 0.0)
            times.append(time.perf_counter() - start)
    return sum(times[2:]) / len(times[2:])


def _together(name: str, seconds: float) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Return the mean round time of the daemon's pair, and both workers' stages."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("checkpoints", "snapshots"):
            (Path(folder) / part).mkdir()
        config = _config(name, folder)
        layout = ArenaLayout(SLOTS, config.model_spec.input.size_bytes)
        arena_descriptor, boards_descriptor = create_arena(layout), create_boards()
        arena, boards = Arena(arena_descriptor), Boards(boards_descriptor, CLOCK)
        trainer_ends, selector_ends = channel_pair(), channel_pair()
        ours, theirs = channel_pair()
        descriptors = Descriptors(
            create_text(config_to_json(config)), boards_descriptor, arena_descriptor,
            os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), create_parameters(), create_memory(),
            theirs.fileno(), trainer_ends[1].fileno(), selector_ends[1].fileno(),
        )  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "titand.workers.zygote", "--fds", descriptors.to_argument()]
        zygote = subprocess.Popen(command, pass_fds=descriptors.all(), env=environment)
        channel = Channel(ours)
        channel.receive(60)
        channel.send({"verb": "fork"})
        message = channel.receive(60)
        assert message is not None
        pin(message["pids"]["trainer"], 0)
        pin(message["pids"]["selector"], 1)
        os.sched_setaffinity(0, {1})  # whoever feeds must not take the trainer's time
        try:
            return _feed(Ledger(arena, descriptors.filled, CLOCK), config, boards, descriptors, seconds)
        finally:
            os.sched_setaffinity(0, {0, 1})
            zygote.send_signal(signal.SIGKILL)
            zygote.wait()
            for end in (*trainer_ends, *selector_ends, theirs):
                end.close()
            for number in (arena_descriptor, boards_descriptor, descriptors.parameters, descriptors.memory):
                os.close(number)


def _feed(
    ledger: Ledger, config: Config, boards: Boards, descriptors: Descriptors, seconds: float
) -> tuple[float, dict[str, Any], dict[str, Any]]:
    data, labels = random_samples(config, SLOTS, 1)
    place, _ = ledger.open_stream("benchmark", frozenset())
    columns, times, view = memoryview(array("i", labels)), memoryview(array("q")), memoryview(data)
    sequence, board, began, first, seen = 1, None, 0.0, -1, -1
    while True:
        sequence += sum(count for _, count in ledger.admit(place, sequence, columns, times, view))
        time.sleep(0.002)
        if board is None:
            if boards.read("selector") is None:
                continue
            board = ParameterBoard(descriptors.parameters)
        if board.version == seen:
            continue
        seen, now = board.version, time.perf_counter()  # from the end of one round to the end of another
        if first < 0 and seen >= 3:
            began, first = now, seen
        elif first >= 0 and now - began > seconds and seen >= first + 3:
            break
    took, count = now - began, seen - first
    time.sleep(0.3)  # the last reports
    trainer, selector = boards.read("trainer"), boards.read("selector")
    assert trainer is not None
    assert selector is not None
    return took / count, trainer.content["stages"], selector.content["stages"]


if __name__ == "__main__":
    main()
