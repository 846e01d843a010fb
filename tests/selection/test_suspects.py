"""Suspects: by brute force, sample by sample, and by what must not be suspected."""

from __future__ import annotations

import math

import pytest
import torch

from titand.selection.suspects import HALF_LIFE_WINDOWS, LEAST_SCORE, Suspect, Suspects

CLASSES, SIZE = 4, 6


def blobs(count: int, generator: torch.Generator, far: float = 4.0):
    """Labels, last-layer inputs around one corner for each class, and the softmax of a sensible model."""
    label = torch.randint(CLASSES, (count,), generator=generator)
    hidden = torch.randn(count, SIZE, generator=generator) + far * torch.eye(CLASSES, SIZE)[label]
    return label, hidden, torch.softmax(hidden[:, :CLASSES] * 2, dim=1)


def taught(generator: torch.Generator, windows: int = 30) -> tuple[Suspects, list]:
    """A list that knows the classes, and all that it was taught."""
    suspects, seen = Suspects(CLASSES), []
    for _ in range(windows):
        window = blobs(20, generator)
        seen.append(window)
        suspects.learn(*window)
    return suspects, seen


def flipped(label: torch.Tensor, rows: list[int]) -> torch.Tensor:
    wrong = label.clone()
    wrong[rows] = (wrong[rows] + 1) % CLASSES
    return wrong


def test_wrong_labels_are_listed_and_right_ones_are_not():
    generator = torch.Generator().manual_seed(1)
    suspects, _ = taught(generator)
    label, hidden, probability = blobs(100, generator)
    suspects.look(range(1, 101), flipped(label, [3, 50, 99]), hidden, probability)
    assert {each.number for each in suspects.listed()} == {4, 51, 100}
    for each in suspects.listed():
        truth = int(label[each.number - 1])
        assert each.label == (truth + 1) % CLASSES
        assert (each.likeliest, each.nearest) == (truth, truth)


def test_the_score_is_loss_plus_the_log_of_the_ratio_of_distances():
    """Against a weighted mean and variance over all that was taught, one sample at a time."""
    generator = torch.Generator().manual_seed(2)
    suspects, seen = taught(generator)
    label, hidden, probability = blobs(40, generator, far=2.0)
    wrong = flipped(label, list(range(0, 40, 2)))
    suspects.look(range(1, 41), wrong, hidden, probability)

    def spread(c):
        """Mean and variance of a class, older windows counting less."""
        rows, weights = [], []
        for age, (labels, hiddens, _) in enumerate(reversed(seen)):
            for row in hiddens[labels == c].double():
                rows.append(row)
                weights.append(0.95**age)
        weight = torch.tensor(weights, dtype=torch.float64)
        stack = torch.stack(rows)
        mean = (weight[:, None] * stack).sum(0) / weight.sum()
        return mean, float((weight * (stack - mean).square().sum(1)).sum() / weight.sum())

    spreads = [spread(c) for c in range(CLASSES)]
    expected = {}
    for i in range(40):
        y = int(wrong[i])
        distance = [float((hidden[i].double() - mean).square().sum()) / variance for mean, variance in spreads]
        other = min(d for c, d in enumerate(distance) if c != y)
        loss = -math.log(max(float(probability[i, y]), 1e-6))
        score = loss + max(-5.0, min(5.0, math.log(distance[y] / other)))
        if score >= LEAST_SCORE and distance[y] > other and loss > math.log(CLASSES):
            expected[i + 1] = (score, math.sqrt(distance[y]))
    assert len(expected) >= 5
    found = {each.number: (each.score, each.distance) for each in suspects.listed()}
    assert found.keys() == expected.keys()
    for number, values in expected.items():
        assert found[number] == pytest.approx(values, rel=1e-3)
    assert [each.number for each in suspects.listed()] == sorted(expected, key=lambda n: -expected[n][0])


def test_one_that_lies_among_its_class_is_not_suspected_however_large_its_loss():
    generator = torch.Generator().manual_seed(10)
    suspects, _ = taught(generator)
    label, hidden, probability = blobs(20, generator)
    suspects.look(range(1, 21), label, hidden, probability.roll(1, dims=1))
    assert len(suspects) == 0
    suspects.look(range(1, 21), label, hidden.roll(1, dims=1), probability.roll(1, dims=1))
    assert len(suspects) > 10


@pytest.mark.parametrize(("likely", "is_suspected"), [(0.24, True), (0.26, False)])
def test_a_label_that_the_model_finds_likelier_than_a_guess_is_not_suspected_wherever_it_lies(likely, is_suspected):
    generator = torch.Generator().manual_seed(11)
    suspects, _ = taught(generator)
    hidden = 4.0 * torch.eye(CLASSES, SIZE)[:1]  # where class 0 is
    rest = (1 - likely) / (CLASSES - 1)
    probability = torch.tensor([[rest, likely, rest, rest]])
    suspects.look([1], torch.tensor([1]), hidden, probability)
    assert len(suspects) == int(is_suspected)


def test_nothing_is_said_about_classes_that_were_hardly_seen():
    generator = torch.Generator().manual_seed(3)
    suspects = Suspects(CLASSES)
    label, hidden, probability = blobs(40, generator)
    suspects.look(range(1, 41), flipped(label, [0, 1]), hidden, probability)
    assert len(suspects) == 0
    known = label != 3
    for _ in range(20):
        window = blobs(40, generator)
        known = window[0] != 3
        suspects.learn(*(part[known] for part in window))
    wrong = torch.full_like(label, 3)
    suspects.look(range(1, 41), wrong, hidden, probability)
    assert len(suspects) == 0


def test_only_the_most_suspicious_are_kept():
    generator = torch.Generator().manual_seed(4)
    label, hidden, probability = blobs(200, generator)
    wrong = flipped(label, list(range(200)))
    every, few = Suspects(CLASSES, capacity=1000), Suspects(CLASSES, capacity=10)
    for suspects in (every, few):
        window = torch.Generator().manual_seed(5)
        for _ in range(20):
            suspects.learn(*blobs(30, window))
        suspects.look(range(1, 201), wrong, hidden, probability)
    assert len(every) > 100
    assert few.listed() == every.listed()[:10]


def test_who_is_looked_at_again_is_judged_by_the_newest_model():
    generator = torch.Generator().manual_seed(6)
    suspects, _ = taught(generator)
    label, hidden, probability = blobs(10, generator)
    wrong = flipped(label, [5])
    suspects.look(range(1, 11), wrong, hidden, probability)
    assert [each.number for each in suspects.listed()] == [6]
    suspects.look(range(1, 11), label, hidden, probability)
    assert len(suspects) == 0


def test_a_corrected_sample_leaves_the_list():
    suspects = Suspects(CLASSES)
    suspects.add([Suspect(7, 0, 5.0), Suspect(8, 1, 6.0)])
    suspects.forget(8)
    suspects.forget(9)
    assert [each.number for each in suspects.listed()] == [7]


def test_an_old_suspicion_halves_in_its_half_life():
    generator = torch.Generator().manual_seed(7)
    suspects = Suspects(CLASSES)
    suspects.add([Suspect(1, 0, 5.0)])
    for _ in range(int(HALF_LIFE_WINDOWS)):
        suspects.learn(*blobs(4, generator))
    suspects.add([Suspect(2, 0, 5.0 - math.log(2) + 0.001), Suspect(3, 0, 5.0 - math.log(2) - 0.001)])
    assert [each.number for each in suspects.listed()] == [2, 1, 3]


def test_inputs_that_the_head_has_one_of_for_each_class_are_averaged():
    generator = torch.Generator().manual_seed(8)
    label, hidden, probability = blobs(50, generator)
    three = hidden[:, None, :] + torch.tensor([-1.0, 1.0])[None, :, None]
    found = []
    for form in (hidden, three):
        suspects, _ = taught(torch.Generator().manual_seed(9))
        suspects.look(range(1, 51), flipped(label, [9]), form, probability)
        found.append([each.number for each in suspects.listed()])
    assert found == [[10], [10]]
