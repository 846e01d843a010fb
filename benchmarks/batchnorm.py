"""BatchNorm with batches of ten that selection has skewed: which statistics to train with, and to score with.

    python -m benchmarks.batchnorm [--data digits|fashion-mnist|FILE.npz|FOLDER] [--rounds 400] [--seeds 3]
        [--architecture mobilenet_v1] [--variants "momentum 0.1,group"] [--budget MINUTES]

Runs the real selection (C-IS exact, unbiased weights) and the real learner, one process and one thread; MobileNetV1 has
a quarter of its width. Every variant sees the same stream, window for window. Prints one Markdown row per variant:
test accuracy after a quarter, half and all of the rounds, the accuracy at the end with statistics measured anew on 300
samples ("fresh", it tells bad parameters from bad statistics), and the largest test loss on the way.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmarks.arguments import some_of
from benchmarks.measure import repeats
from titand.demo.data import Dataset, load
from titand.learning.evaluation import Evaluation, evaluate
from titand.learning.models.split import SplitModel
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.preprocess import Preprocess
from titand.learning.schedules import step
from titand.learning.scoring import evaluating, residual, score
from titand.learning.trainer import Learner
from titand.records import ModelSpec, TensorSpec
from titand.selection.candidates import CandidateSet
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.sampling import Draw
from titand.selection.selector import CISSelector

SIDE = 32
WINDOW, CANDIDATES, BATCH = 100, 30, 10
RATE = 0.1
TEST_LIMIT = 1000  # test samples looked at, the same ones each time


class WeightedBatchNorm(nn.BatchNorm2d):
    """Statistics of the batch with sample weights, hence unbiased for the window; gradients run through them."""

    sample_weight: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N, C, H, W]."""
        if not self.training or self.sample_weight is None:
            return super().forward(x)
        share = (self.sample_weight / self.sample_weight.sum()).to(x.dtype).view(-1, 1, 1, 1) / x[0, 0].numel()
        mean = (share * x).sum((0, 2, 3), keepdim=True)
        variance = (share * (x - mean).square()).sum((0, 2, 3), keepdim=True)
        with torch.no_grad():
            for running, now in ((self.running_mean, mean), (self.running_var, variance)):
                if running is not None and self.momentum is not None:
                    running.lerp_(now.flatten(), self.momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight.view(1, -1, 1, 1)
        return (x - mean) * scale + self.bias.view(1, -1, 1, 1)


@dataclass
class Arm:
    """A model under one way of taking statistics."""

    model: SplitModel
    learner: Learner
    before_step: Callable[[nn.Module, Tensor], None]
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    not_finite: int = 0


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the BatchNorm layers."""
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


def weigh(model: nn.Module, sample_weight: Tensor | None) -> None:
    """Tell the layers whose statistics are weighted."""
    for layer in norms(model):
        if isinstance(layer, WeightedBatchNorm):
            layer.sample_weight = sample_weight


def nothing(model: nn.Module, candidate: Tensor) -> None:
    """Leave everything to the step."""


@torch.no_grad()
def measure_candidates(model: nn.Module, candidate: Tensor) -> None:
    """Move the running statistics by the candidates, and let the step leave them alone."""
    model.train()
    for layer in norms(model):
        layer.momentum = 0.1
        layer.train()
    model(candidate)
    for layer in norms(model):
        layer.momentum = 0.0


def measure_and_freeze(model: nn.Module, candidate: Tensor) -> None:
    """Move the running statistics by the candidates, and train with these instead of the batch's."""
    measure_candidates(model, candidate)
    for layer in norms(model):
        layer.eval()  # the learner leaves it so, because the model as a whole is in training


def spec_of(data: Dataset, architecture: str, norm: str) -> ModelSpec:
    """Return the model of a data set whose images are brought to 32 x 32."""
    channels = images(data.train.input[:1]).shape[1]
    mean, std = data.moments()
    shape = (channels, SIDE, SIDE)
    options = {"norm": norm} | ({"width": 0.25} if architecture == "mobilenet_v1" else {})
    return ModelSpec(
        architecture, TensorSpec("float32", shape), data.train.class_names, mean=(mean,), std=(std,), options=options
    )


def images(raw: object) -> Tensor:
    """Return [N, C, 32, 32] float32."""
    x = torch.as_tensor(raw).float()
    return nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear") if x.shape[-2:] != (SIDE, SIDE) else x


def make_arm(data: Dataset, architecture: str, seed: int, variant: str) -> Arm:
    """Return a fresh arm: same seed, same parameters."""
    model = build(spec_of(data, architecture, variant if variant in ("group", "none") else "batch"), seed)
    before_step = nothing
    for layer in norms(model):
        if variant.startswith("momentum"):
            layer.momentum = float(variant.split()[1])
        if variant == "weighted":
            layer.__class__ = WeightedBatchNorm
    if variant == "candidates":
        before_step = measure_candidates
    if variant == "running":
        before_step = measure_and_freeze
    optimizer = build_optimizer("sgd", dict(model.named_parameters()))
    return Arm(model, Learner(model, optimizer, step(RATE)), before_step)


def select(
    model: SplitModel, x: Tensor, label: Tensor, window_label: Tensor, class_count: int, g: torch.Generator
) -> Draw:
    """Return rows of the candidates and their weights."""
    seen = score(model, x)
    loss = nn.functional.cross_entropy(seen.logits, label, reduction="none")
    scores = Scores(LastLayerGradient(residual(seen.logits, label), seen.hidden), loss, seen.logits.softmax(1))
    stage_weight = torch.full((len(x),), len(window_label) / len(x), dtype=torch.float64)
    arrivals = torch.bincount(window_label, minlength=class_count)
    candidates = CandidateSet(tuple(range(len(x))), label, stage_weight, arrivals)
    return CISSelector().select(candidates, scores, BATCH, g)


def run(data: Dataset, architecture: str, variant: str, seed: int, rounds: int) -> tuple[Arm, float]:
    """Train one arm; return it and its accuracy with fresh statistics."""
    preprocess = Preprocess(spec_of(data, architecture, "batch"))
    label = torch.as_tensor(data.train.label).long()
    chance = torch.Generator().manual_seed(100 + seed)
    draw_chance = torch.Generator().manual_seed(200 + seed)
    test_row = torch.randperm(len(data.test.label), generator=torch.Generator().manual_seed(0))[:TEST_LIMIT]
    test_x = preprocess(images(data.test.input[test_row.numpy()]))
    test_label = torch.as_tensor(data.test.label).long()[test_row]
    arm = make_arm(data, architecture, seed, variant)

    def judge() -> Evaluation:
        batches = zip(torch.split(test_x, 250), torch.split(test_label, 250), strict=True)
        return evaluate(arm.model, batches, len(data.train.class_names))

    for round in range(1, rounds + 1):
        window = torch.randint(len(label), (WINDOW,), generator=chance)
        row = window[:CANDIDATES]
        x, its_label = preprocess(images(data.train.input[row.numpy()])), label[row]
        draw = select(arm.model, x, its_label, label[window], len(data.train.class_names), draw_chance)
        arm.before_step(arm.model, x)
        weigh(arm.model, draw.sample_weight)
        report = arm.learner.step(x[draw.index], its_label[draw.index], draw.sample_weight, round)
        arm.not_finite += not report.finite
        if round in (rounds // 4, rounds // 2, rounds):
            found = judge()
            arm.accuracy.append(100 * (found.accuracy or 0))
            arm.loss.append(found.loss or math.nan)
    if not norms(arm.model):
        return arm, arm.accuracy[-1]
    fresh = torch.randint(len(label), (300,), generator=chance)
    renew(arm.model, preprocess(images(data.train.input[fresh.numpy()])))
    return arm, 100 * (judge().accuracy or 0)


@torch.no_grad()
def renew(model: SplitModel, x: Tensor) -> None:
    """Measure all statistics anew."""
    with evaluating(model):
        weigh(model, None)
        for layer in norms(model):
            layer.reset_running_stats()
            layer.momentum = None  # a plain average
            layer.train()
        model(x)


VARIANTS = {
    "momentum 0.1": "statistics of the batch; running ones by 0.1 (torch's default)",
    "momentum 0.01": "the same, running ones by 0.01",
    "momentum 0.3": "the same, running ones by 0.3",
    "weighted": "statistics of the batch with sample weights",
    "candidates": "statistics of the batch; running ones from all 30 candidates",
    "running": "running ones, from all 30 candidates, in training too",
    "group": "GroupNorm: no statistics at all",
    "none": "no normalisation",
}


def main() -> None:
    """Run all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--architecture", default="mobilenet_v1")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", type=some_of(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--budget", type=float, default=60.0, help="minutes after which no further seed is begun")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load(options.data)
    quarter, half = options.rounds // 4, options.rounds // 2
    title = f"{options.architecture}, {data.name}, at most {options.seeds} seeds"
    print(f"| {title} | {quarter} | {half} | {options.rounds} | fresh | worst loss | CPU s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for variant in options.variants:
        start = time.process_time()
        seeds = repeats(options.seeds, options.budget / len(options.variants))
        arms = [run(data, options.architecture, variant, seed, options.rounds) for seed in seeds]
        cells = [spread([arm.accuracy[i] for arm, _ in arms]) for i in range(3)]
        cells += [spread([fresh for _, fresh in arms]), f"{max(max(arm.loss) for arm, _ in arms):.3g}"]
        lost = sum(arm.not_finite for arm, _ in arms)
        note = f", {lost} steps not finite" if lost else ""
        seconds = (time.process_time() - start) / len(arms)
        print(f"| {VARIANTS[variant]}{note} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


def spread(value: list[float]) -> str:
    """Return the mean and the standard deviation over seeds."""
    return f"{statistics.mean(value):.1f}" + (f" ({statistics.stdev(value):.1f})" if len(value) > 1 else "")


if __name__ == "__main__":
    main()
