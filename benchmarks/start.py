"""How soon the first sample is accepted after a start, how soon the first round ends, and how long `status` takes.

python -m benchmarks.start [--runs 7] [--budget MINUTES]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import titan
from benchmarks import measure
from benchmarks.measure import summary
from benchmarks.models import MODELS
from benchmarks.service import running


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    accepted, trained, status, python = [], [], [], []
    data, labels = np.zeros((100, 3, 32, 32), dtype=np.uint8), [0] * 100
    for _ in measure.repeats(options.runs, options.budget):
        with running({"model": MODELS["mobilenet_v1"]}) as service, titan.Client(service.address) as client:
            client.push(data[0], 0)
            client.flush(30)
            accepted.append(time.perf_counter() - service.started)
            while client.training().round_count < 1:
                client.push_batch(data, labels)
                client.flush(30)
                time.sleep(0.05)
            trained.append(time.perf_counter() - service.started)
            python.append(_wall([sys.executable, "-c", "pass"]))
            status.append(
                _wall([str(Path(sys.executable).parent / "titanctl"), "--address", service.address, "status"])
            )
    measure.publish(
        "start",
        options.folder,
        {
            "first_accepted_seconds": summary(accepted),
            "first_round_seconds": summary(trained),
            "status_seconds": summary(status),
            "empty_python_seconds": summary(python),
        },
    )


def _wall(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
