"""Memory of the whole service over a bare training loop of the same model, and where it goes.

    python -m benchmarks.memory [--models mlp,mobilenet_v1] [--rounds 60] [--budget MINUTES]

Both in 10^6 bytes of private pages plus shared memory, shared pages divided among their sharers (`Pss_Anon` +
`Pss_Shmem`); file pages, mostly libtorch, are left out as they are clean and the same for both. The bare loop is the
learner alone on random batches, in a process that imports nothing of the runtime.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

import titan
from benchmarks import measure
from benchmarks.arguments import some_of
from benchmarks.measure import memory_megabytes
from benchmarks.models import MODELS, config_of, random_samples
from benchmarks.service import running

BARE = """
import os, sys, torch
from benchmarks.models import config_of
from benchmarks.measure import memory_megabytes
torch.set_num_threads(1)
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.preprocess import Preprocess
from titand.learning.trainer import Learner
from titand.learning import schedules
config = config_of(sys.argv[1]); spec = config.model_spec
model = build(spec, 0)
learner = Learner(model, build_optimizer("sgd", dict(model.named_parameters())), schedules.constant(0.005))
prepare = Preprocess(spec)
for round in range(1, int(sys.argv[2]) + 1):
    raw = torch.randint(0, 255, (10, *spec.input.shape), dtype=torch.uint8)
    learner.step(prepare(raw), torch.randint(0, spec.class_count, (10,)), torch.ones(10), round)
kinds = memory_megabytes(os.getpid())
print(kinds["anon"] + kinds["shared"])
"""


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--models", type=some_of(MODELS), default=["mlp", "mobilenet_v1"])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    for name in (options.models[number] for number in measure.repeats(len(options.models), options.budget)):
        bare = _bare(name, options.rounds)
        by_process = _service(name, options.rounds)
        whole = sum(sum(kinds.values()) for kinds in by_process.values())
        result[name] = {
            "bare_megabytes": bare,
            "service_megabytes": whole,
            "extra_megabytes": whole - bare,
            "by_process": by_process,
        }
        print(name, round(bare, 1), round(whole, 1), round(whole - bare, 1), flush=True)
    measure.publish("memory", options.folder, result)


def _bare(name: str, rounds: int) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BARE, name, str(rounds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def _service(name: str, rounds: int) -> dict[str, dict[str, float]]:
    config = config_of(name)
    spec = config.model_spec.input
    raw, labels = random_samples(config, 100, 0)
    data = np.frombuffer(raw, dtype=spec.data_type).reshape(100, *spec.shape)
    plain = {
        "model": MODELS[name],
        "training": {"learning_rate": 0.005},
        "round": {"min_samples": 100},
    }
    with running(plain) as service, titan.Client(service.address) as client:
        pids = service.pids()
        stop = threading.Event()

        def push() -> None:
            while not stop.is_set():
                client.push_batch(data, labels)
                client.flush(60)
                stop.wait(0.02)

        pushing = threading.Thread(target=push)
        pushing.start()
        while client.training().round_count < rounds:
            time.sleep(0.1)
        found = {process: memory_megabytes(pid) for process, pid in pids.items()}
        stop.set()
        pushing.join()
    return {process: {"anon": kinds["anon"], "shared": kinds["shared"]} for process, kinds in found.items()}


if __name__ == "__main__":
    main()
