"""What the coarse filter costs per sample, beside scoring the sample in full, per model.

    python -m benchmarks.filter_cost [--models ...] [--repeats 15] [--budget MINUTES]

Stage one on a micro-batch of 32 arrivals, for two rules: "stratified" (needs no feature) and "predicted" (the default:
first block and early exit). Scoring is one full forward pass of 30 candidates with everything that C-IS needs of it.
One thread; the three alternate. The paper has 1/6.5 to 1/94 for filter over C-IS per sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import measure
from benchmarks.arguments import some_of
from benchmarks.measure import summary
from benchmarks.models import MODELS, config_of
from titand.learning import scoring
from titand.learning.models.zoo import build
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.importance import LastLayerGradient

ARRIVALS, CANDIDATES = 32, 30


def main() -> None:
    """Run and publish."""
    parser = measure.parser(__doc__)
    parser.add_argument("--models", type=some_of(MODELS), default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {}
    for name in options.models:
        result[name] = _measure(name, options.repeats, options.budget / len(options.models))
        print(name, {key: value["median"] for key, value in result[name].items()}, flush=True)
    measure.publish("filter_cost", options.folder, result)


def _measure(name: str, repeats: int, minutes: float) -> dict[str, Any]:
    spec = config_of(name).model_spec
    model = build(spec, 0).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ARRIVALS, *spec.input.shape, generator=generator)
    label = torch.randint(0, spec.class_count, (ARRIVALS,), generator=generator)
    size = scoring.first_block_feature(model, x[:1]).shape[1]
    plain = CoarseFilter(spec.class_count, CANDIDATES, 0, generator=generator)
    predicting = CoarseFilter(spec.class_count, CANDIDATES, size, rule="predicted", generator=generator)

    def stratified() -> None:
        plain.offer(range(ARRIVALS), label, None)
        plain.cut()

    @torch.inference_mode()
    def predicted() -> None:
        predicting.offer(range(ARRIVALS), label, scoring.first_block_feature(model, x))
        predicting.cut()

    @torch.inference_mode()
    def score() -> None:
        forward = scoring.score(model, x[:CANDIDATES])
        residual = scoring.residual(forward.logits, label[:CANDIDATES])
        LastLayerGradient(residual, forward.hidden).gram()

    times: dict[str, list[float]] = {"stratified": [], "predicted": [], "score": []}
    for once in (stratified, predicted, score):
        once()
    for _ in measure.repeats(repeats, minutes):
        times["stratified"].append(_seconds(stratified) / ARRIVALS)
        times["predicted"].append(_seconds(predicted) / ARRIVALS)
        times["score"].append(_seconds(score) / CANDIDATES)
    return {
        "stratified_us": summary([value * 1e6 for value in times["stratified"]]),
        "predicted_us": summary([value * 1e6 for value in times["predicted"]]),
        "score_us": summary([value * 1e6 for value in times["score"]]),
        "score_over_stratified": summary([b / a for a, b in zip(times["stratified"], times["score"], strict=True)]),
        "score_over_predicted": summary([b / a for a, b in zip(times["predicted"], times["score"], strict=True)]),
    }


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
