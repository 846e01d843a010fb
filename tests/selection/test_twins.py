"""Near-duplicates: planted copies are found, and the sketch keeps distances."""

from __future__ import annotations

import pytest
import torch

from titand.selection.twins import LEAST_SCORE, MOST_SCORE, REMEMBERED, SAME_LABEL, SKETCH, Twins, sketch


def twins_of(stream: torch.Tensor, label: list[int], window: int = 20, seed: int = 0):
    """Return who was found in a stream, by number from 1."""
    twins = Twins(torch.Generator().manual_seed(seed))
    found = []
    for start in range(0, len(stream), window):
        stop = min(start + window, len(stream))
        found += twins.look(range(start + 1, stop + 1), label[start:stop], stream[start:stop])
    return {each.number: each for each in found}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 20), (7,)])
def test_planted_copies_are_found_and_nobody_else(shape):
    generator = torch.Generator().manual_seed(1)
    stream = torch.randn(200, *shape, generator=generator)
    size = stream[0].numel()
    stream[7] = stream[6]  # in the same window
    stream[150] = stream[30] + 0.01 * torch.randn(shape, generator=generator)
    label = [0] * 200
    label[150] = 1
    found = twins_of(stream, label)
    assert {8, 151} <= found.keys()
    assert (found[8].twin, found[151].twin) == (7, 31)
    assert (found[8].score, found[151].twin_label) == (MOST_SCORE - SAME_LABEL, 0)
    assert found[151].score > found[8].score
    if size > 7:  # in seven dimensions some are close by chance
        assert found.keys() == {8, 151}


def test_a_window_that_comes_again_is_found_and_its_own_numbers_are_not_twins():
    stream = torch.randn(20, 5, 5, generator=torch.Generator().manual_seed(2))
    twins = Twins(torch.Generator().manual_seed(0))
    assert twins.look(range(1, 21), [0] * 20, stream) == []
    assert twins.look(range(1, 21), [0] * 20, stream) == []  # scored once more, after a restart
    again = twins.look(range(21, 41), [0] * 20, stream)
    assert [each.twin for each in again] == list(range(1, 21))


def test_what_all_samples_have_in_common_hides_no_twin():
    # Squares of it would swallow the differences in float32.
    stream = 1e4 + torch.randn(100, 8, 8, generator=torch.Generator().manual_seed(6))
    stream[70] = stream[30]
    assert twins_of(stream, [0] * 100).keys() == {71}


def test_what_is_long_ago_is_forgotten():
    stream = torch.randn(REMEMBERED + 40, 30, generator=torch.Generator().manual_seed(3))
    stream[-1] = stream[1]
    assert twins_of(stream, [0] * len(stream)) == {}
    stream[-1] = stream[-100]
    assert twins_of(stream, [0] * len(stream)).keys() == {len(stream)}


def test_all_the_same_is_no_error():
    assert all(each.twin for each in twins_of(torch.ones(60, 9), [0] * 60).values())


def test_a_sketch_keeps_squared_distances_on_average():
    """Over many choices of signs; the spread is that of a sum of SKETCH squares."""
    generator = torch.Generator().manual_seed(4)
    one, other = torch.randn(2, 1, 777, generator=generator)
    truth = float((one - other).square().sum())
    squares = []
    for _ in range(500):
        sign = torch.randint(2, (777,), generator=generator) * 2.0 - 1
        squares.append(float((sketch(one, sign) - sketch(other, sign)).square().sum()))
    mean = torch.tensor(squares).mean()
    assert float(mean) == pytest.approx(truth, rel=4 * (2 / SKETCH) ** 0.5 / 500**0.5)
    assert float(torch.tensor(squares).std()) == pytest.approx(truth * (2 / SKETCH) ** 0.5, rel=0.2)


def test_a_twin_is_as_near_as_it_is_said_to_be():
    generator = torch.Generator().manual_seed(5)
    stream = torch.randn(100, 64, generator=generator)  # the sketch of 64 numbers is the sample itself
    stream[99] = stream[0] + 0.05 * torch.randn(64, generator=generator)
    found = twins_of(stream, [0] * 99 + [1], window=100)
    mean = torch.cdist(stream, stream).square().sum() / (100 * 100)
    expected = torch.log(mean / (stream[99] - stream[0]).square().sum())
    assert LEAST_SCORE < found[100].score == pytest.approx(float(expected), abs=1e-3)
