"""Does replay keep a model from forgetting? Real data in bursts of a class, or shuffled, with and without.

    python -m benchmarks.replay --task digits --seeds 5

The accuracy is the mean over all classes of the test part, averaged over the second half of the run: a model that only
knows the class of the moment has 1 / C.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.measure import repeats
from benchmarks.paper.tasks import load
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.preprocess import Preprocess
from titand.learning.schedules import constant
from titand.learning.trainer import Learner
from titand.workers.replay import Replay

BATCH, CAPACITY, TEST = 10, 200, 500


def run(task: str, seed: int, rounds: int, burst: int, share: float, rate: float) -> float:
    """Train once; `burst` rounds bring one class alone, 0 brings all of them mixed."""
    loaded = load(task)
    spec, train, test = loaded.spec, loaded.dataset.train, loaded.dataset.test
    generator, preprocess = np.random.default_rng(seed), Preprocess(loaded.spec)
    model = build(spec, seed)
    learner = Learner(model, build_optimizer("sgd", dict(model.named_parameters())), constant(rate))
    replay = Replay(CAPACITY, share, spec.class_count, BATCH, torch.Generator().manual_seed(seed))
    rows_of = [np.flatnonzero(train.label == label) for label in range(spec.class_count)]
    chosen = generator.permutation(len(test))[:TEST]
    asked, truth = preprocess(torch.from_numpy(test.input[chosen])), torch.from_numpy(test.label[chosen])
    accuracies = []
    for round in range(1, rounds + 1):
        rows = generator.integers(len(train), size=BATCH)
        if burst:
            rows = generator.choice(rows_of[(round - 1) // burst % spec.class_count], BATCH)
        raw, label = torch.from_numpy(train.input[rows]), torch.from_numpy(train.label[rows]).long()
        again = replay.draw(round) if share else None
        x, y = (raw, label) if again is None else (torch.cat([raw, again[0]]), torch.cat([label, again[1]]))
        learner.step(preprocess(x), y, torch.ones(len(y)), round)
        replay.keep(raw, label, round)
        if round > rounds // 2 and round % 20 == 0:
            with torch.inference_mode():
                model.eval()
                accuracies.append(float((model(asked).argmax(1) == truth).double().mean()))
                model.train()
    return float(np.mean(accuracies))


def main() -> None:
    """Print a row for each stream and share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=0.03)
    parser.add_argument("--bursts", default="0,20,100")
    parser.add_argument("--shares", default="0,0.2,0.5,0.7")
    parser.add_argument("--budget", type=float, default=60.0, help="minutes after which no further seed is begun")
    args = parser.parse_args()
    torch.set_num_threads(1)
    shares, bursts = [float(each) for each in args.shares.split(",")], [int(each) for each in args.bursts.split(",")]
    found: dict[tuple[int, float], list[float]] = {(burst, share): [] for burst in bursts for share in shares}
    for seed in repeats(args.seeds, args.budget):
        for (burst, share), results in found.items():
            results.append(run(args.task, seed, args.rounds, burst, share, args.rate))
    print(f"{args.task}, rate {args.rate:g}, {len(found[bursts[0], shares[0]])} seeds: mean accuracy +- its deviation")
    print("| stream | " + " | ".join(f"share {share:g}" for share in shares) + " |")
    for burst in bursts:
        cells = [f"{np.mean(found[burst, share]):.3f} +- {np.std(found[burst, share]):.3f}" for share in shares]
        print(f"| {f'bursts of {burst} rounds' if burst else 'all classes mixed'} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
