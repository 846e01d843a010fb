"""Accuracy on arrivals: weighted, fading, and in the health list when it falls for good."""

from __future__ import annotations

import pytest
import torch

from titand.clock import SystemClock
from titand.workers.prequential import Prequential


def answers(right: int, wrong: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([True] * right + [False] * wrong), torch.ones(right + wrong)


def test_each_answer_counts_its_weight_and_fades():
    prequential = Prequential(0.05, SystemClock())
    assert prequential.accuracy is None
    seen = []
    generator = torch.Generator().manual_seed(0)
    for round in range(1, 100):
        is_right = torch.rand(5, generator=generator) < 0.7
        weight = 1 + torch.rand(5, generator=generator)
        prequential.observe(is_right, weight, round)
        seen.append((is_right, weight))
    fading = [0.98**age for age in range(len(seen))][::-1]
    right = sum(fade * float(weight[is_right].sum()) for fade, (is_right, weight) in zip(fading, seen, strict=True))
    everything = sum(fade * float(weight.sum()) for fade, (_, weight) in zip(fading, seen, strict=True))
    assert prequential.accuracy == pytest.approx(right / everything)


def test_a_window_without_answers_changes_nothing():
    prequential = Prequential(0.05, SystemClock())
    prequential.observe(*answers(0, 0), round=1)
    assert prequential.accuracy is None


def test_a_lasting_rise_of_the_error_is_told_until_it_is_down_again():
    prequential = Prequential(0.05, SystemClock())
    for round in range(1, 301):
        prequential.observe(*answers(27, 3), round=round)
    assert prequential.health() == []
    for round in range(301, 341):
        prequential.observe(*answers(9, 21), round=round)
    (item,) = prequential.health()
    assert (item["code"], item["severity"]) == ("DRIFT_DETECTED", "warning")
    assert "10 % wrong" in item["message"]
    said = int(item["message"].split("round ")[1].split()[0])
    assert abs(said - 301) <= 5
    for round in range(341, 700):
        prequential.observe(*answers(27, 3), round=round)
    assert prequential.health() == []
