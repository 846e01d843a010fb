"""What every selector owes, whatever it selects by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from tests.selection.streams import Window, make_window, window_of
from titand.selection.candidates import CandidateSet
from titand.selection.sampling import Draw
from titand.selection.selector import Selector


def select(selector: Selector, window: Window, batch_size: int, seed: int = 0) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    return selector.select(window.candidates(), window.scores, batch_size, generator)


def check_sound(draw: Draw, count: int, may_repeat: bool) -> None:
    """Rows at most once, as many as asked for unless repeats were merged, weights that float32 can hold."""
    rows = draw.index.tolist()
    assert draw.index.dtype == torch.int64
    assert len(set(rows)) == len(rows)
    assert 1 <= len(rows) <= count if may_repeat else len(rows) == count
    assert draw.sample_weight.shape == draw.index.shape
    assert draw.sample_weight.dtype == torch.float64
    assert (draw.sample_weight > 0).all()
    assert draw.sample_weight.float().isfinite().all()


def the_batch_size_is_kept(selector: Selector, may_repeat: bool) -> None:
    window = make_window()
    for batch_size in (1, 3, 10, 39, 40, 41, 1000):
        check_sound(select(selector, window, batch_size), min(batch_size, 40), may_repeat)


def the_same_generator_gives_the_same_draw(selector: Selector, may_repeat: bool) -> None:
    window = make_window()
    one, other = select(selector, window, 10, seed=7), select(selector, window, 10, seed=7)
    assert one.index.tolist() == other.index.tolist()
    assert one.sample_weight.tolist() == other.sample_weight.tolist()


def the_order_of_candidates_changes_no_probability(selector: Selector, may_repeat: bool) -> None:
    window = make_window(size=12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    shuffled = Window(window.label[order], window.scores.take(order), window.class_count)
    repetitions = 600
    straight, turned = Counter(), Counter()
    for seed in range(repetitions):
        draw = select(selector, window, 4, seed)
        straight.update(draw.index.tolist())
        draw = select(selector, shuffled, 4, seed + repetitions)
        turned.update(order[draw.index].tolist())
    for i in range(12):
        p = (straight[i] + turned[i]) / (2 * repetitions)
        allowance = 5 * (2 * p * (1 - p) / repetitions) ** 0.5
        assert abs(straight[i] - turned[i]) / repetitions <= allowance


def one_class_is_enough(selector: Selector, may_repeat: bool) -> None:
    window = make_window()
    only = (window.label == 0).nonzero().flatten()
    part = Window(window.label[only], window.scores.take(only), window.class_count)
    check_sound(select(selector, part, 5), 5, may_repeat)


def one_candidate_is_taken_with_weight_one(selector: Selector, may_repeat: bool) -> None:
    part = make_window(size=1)
    draw = select(selector, part, 5)
    assert draw.index.tolist() == [0]
    torch.testing.assert_close(draw.sample_weight, torch.ones(1, dtype=torch.float64))


def singletons_of_more_classes_than_draws_are_no_trouble(selector: Selector, may_repeat: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(35, 35, generator=generator, dtype=torch.float64)
    window = window_of(logits, torch.arange(35), torch.rand(35, 4, generator=generator, dtype=torch.float64))
    for seed in range(20):
        check_sound(select(selector, window, 10, seed), 10, may_repeat)


def identical_samples_all_have_a_chance(selector: Selector, may_repeat: bool) -> None:
    window = window_of(torch.zeros(8, 3, dtype=torch.float64), torch.zeros(8, dtype=torch.int64), torch.ones(8, 2))
    seen: set[int] = set()
    for seed in range(100):
        draw = select(selector, window, 3, seed)
        check_sound(draw, 3, may_repeat)
        seen.update(draw.index.tolist())
    assert seen == set(range(8))


def a_model_that_is_sure_of_all_is_no_trouble(selector: Selector, may_repeat: bool) -> None:
    label = torch.arange(12) % 3
    logits = torch.nn.functional.one_hot(label).double() * 1e4
    window = window_of(logits, label, torch.ones(12, 2, dtype=torch.float64))
    assert window.scores.gradient.norm().max() == 0
    check_sound(select(selector, window, 6), 6, may_repeat)


def a_nearly_converged_model_gives_weights_that_float32_can_hold(selector: Selector, may_repeat: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(30) % 3
    logits = torch.nn.functional.one_hot(label).double() * 80
    logits[0] = torch.randn(3, generator=generator, dtype=torch.float64)
    window = window_of(logits, label, torch.ones(30, 2, dtype=torch.float64))
    for seed in range(20):
        check_sound(select(selector, window, 6, seed), 6, may_repeat)


def no_candidate_gives_an_empty_batch(selector: Selector, may_repeat: bool) -> None:
    none = make_window().scores.take(torch.zeros(0, dtype=torch.int64))
    empty = CandidateSet(
        (), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    )
    draw = selector.select(empty, none, 10, torch.Generator())
    assert len(draw.index) == len(draw.sample_weight) == 0


CHECKS: list[Callable[[Selector, bool], None]] = [
    the_batch_size_is_kept,
    the_same_generator_gives_the_same_draw,
    the_order_of_candidates_changes_no_probability,
    one_class_is_enough,
    one_candidate_is_taken_with_weight_one,
    singletons_of_more_classes_than_draws_are_no_trouble,
    identical_samples_all_have_a_chance,
    a_model_that_is_sure_of_all_is_no_trouble,
    a_nearly_converged_model_gives_weights_that_float32_can_hold,
    no_candidate_gives_an_empty_batch,
]
