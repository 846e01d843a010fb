"""What 1,000 samples a second cost while training runs: the front's share of a core, and send to acknowledgement.

    python -m benchmarks.paced [--seconds 20] [--runs 3] [--model mobilenet_v1] [--budget MINUTES]

The whole daemon with training and selection at work; one producer pushes 3 x 32 x 32 bytes, 32 in a batch, evenly
paced. Latency is from handing a batch to the client until its acknowledgement has come back, taken on the raw stream.
"""

from __future__ import annotations

import os
import queue
import statistics
import time
from collections.abc import Iterator

import grpc

import titan
from benchmarks import measure
from benchmarks.measure import cpu_seconds, summary
from benchmarks.models import MODELS
from benchmarks.service import Service, running
from titan.v1 import sample_service_pb2 as pb
from titan.v1 import sample_service_pb2_grpc, tensor_pb2

SAMPLE, BATCH, RATE = 3 * 32 * 32, 32, 1000


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model", default="mobilenet_v1")
    options = parser.parse_args()
    share, p50, p99, rounds = [], [], [], []
    for _ in measure.repeats(options.runs, options.budget):
        plain = {"model": MODELS[options.model], "training": {"learning_rate": 0.005}, "round": {"min_samples": 100}}
        with running(plain) as service:
            front = service.pids()["front"]
            _push(service, 3.0)
            before, cpu, start = _rounds(service), cpu_seconds(front), time.perf_counter()
            latency = sorted(_push(service, options.seconds))
            took = time.perf_counter() - start
            share.append(100 * (cpu_seconds(front) - cpu) / took)
            rounds.append((_rounds(service) - before) / took)
            p50.append(statistics.median(latency) * 1e3)
            p99.append(latency[int(0.99 * len(latency))] * 1e3)
    result = {
        "model": options.model,
        "front_core_percent": summary(share),
        "latency_p50_ms": summary(p50),
        "latency_p99_ms": summary(p99),
        "rounds_per_second": summary(rounds),
    }
    measure.publish("paced", options.folder, result)


def _rounds(service: Service) -> int:
    with titan.Client(service.address) as client:
        return client.training().round_count


def _push(service: Service, seconds: float) -> list[float]:
    """Return the seconds from send to acknowledgement of each batch."""
    spec = tensor_pb2.TensorSpec(data_type=tensor_pb2.TensorSpec.DATA_TYPE_UINT8, shape=[3, 32, 32])
    data = os.urandom(SAMPLE * BATCH)
    outbox: queue.SimpleQueue[pb.PushSamplesRequest | None] = queue.SimpleQueue()

    def requests() -> Iterator[pb.PushSamplesRequest]:
        yield pb.PushSamplesRequest(open=pb.StreamOpen(producer="paced"))
        while (request := outbox.get()) is not None:
            yield request

    latency, sent, sequence = [], {}, 1
    with grpc.insecure_channel(service.address) as channel:
        stream = sample_service_pb2_grpc.SampleServiceStub(channel).PushSamples(requests())
        answers = iter(stream)
        next(answers)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            due = start + (sequence - 1) / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            last = sequence + BATCH - 1
            sent[last] = time.perf_counter()
            batch = pb.SampleBatch(first_sequence=sequence, spec=spec, labels=[1] * BATCH, data=data)
            outbox.put(pb.PushSamplesRequest(batch=batch))
            sequence += BATCH
            while last in sent:
                reached = next(answers).acknowledgement.acknowledged_sequence
                now = time.perf_counter()
                for number in [number for number in sent if number <= reached]:
                    latency.append(now - sent.pop(number))
        outbox.put(None)
    return latency


if __name__ == "__main__":
    main()
