import pytest
import torch

from tests.selection.checks import CHECKS, check_sound
from tests.selection.streams import Window, make_window
from titand.selection.importance import LastLayerGradient, Scores
from titand.selection.selector import POLICIES, make_selector

MAY_REPEAT = {"is"}  # draws with replacement
SCORED = [policy for policy in POLICIES if make_selector(policy).needs_scores]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_selector_keeps_what_all_owe(policy, check):
    check(make_selector(policy), policy in MAY_REPEAT)


def broken(window: Window, rows: list[int]) -> Scores:
    hidden = window.scores.gradient.hidden.clone()
    hidden[rows] = float("nan")
    gradient = LastLayerGradient(window.scores.gradient.residual, hidden)
    return Scores(gradient, window.scores.loss, window.scores.probability, window.scores.input)


@pytest.mark.parametrize("policy", SCORED)
def test_rows_without_finite_scores_are_named_and_never_drawn(policy):
    window = make_window(size=10)
    scores = broken(window, [2, 5, 6])

    draw = make_selector(policy).select(window.candidates(), scores, 9, torch.Generator())

    assert draw.dropped.tolist() == [2, 5, 6]
    assert not set(draw.index.tolist()) & {2, 5, 6}
    check_sound(draw, 7, policy in MAY_REPEAT)


@pytest.mark.parametrize("policy", SCORED)
def test_nothing_is_drawn_where_no_row_has_finite_scores(policy):
    window = make_window(size=4)

    draw = make_selector(policy).select(window.candidates(), broken(window, [0, 1, 2, 3]), 3, torch.Generator())

    assert draw.index.tolist() == []
    assert draw.dropped.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("policy", SCORED)
def test_missing_scores_and_those_of_other_rows_are_refused(policy):
    window = make_window(size=10)

    with pytest.raises(ValueError, match="no scores for 10 candidates"):
        make_selector(policy).select(window.candidates(), None, 3, torch.Generator())
    with pytest.raises(ValueError, match="9 scores for 10 candidates"):
        make_selector(policy).select(window.candidates(), window.scores.take(torch.arange(9)), 3, torch.Generator())


@pytest.mark.parametrize("policy", POLICIES)
def test_a_batch_of_less_than_one_is_refused(policy):
    window = make_window(size=10)

    with pytest.raises(ValueError, match="batch size"):
        make_selector(policy).select(window.candidates(), window.scores, 0, torch.Generator())


def test_an_unknown_policy_names_the_nearest():
    with pytest.raises(ValueError, match="'uniformly'; the nearest one is 'uniform'"):
        make_selector("uniformly")


def test_an_option_that_the_policy_lacks_is_named():
    with pytest.raises(ValueError, match=r"'hl': .*weight_exponent"):
        make_selector("hl", weight_exponent=0.5)


@pytest.mark.parametrize("policy", ["cis", "is"])
def test_an_exponent_out_of_range_is_refused(policy):
    with pytest.raises(ValueError, match="weight exponent"):
        make_selector(policy, weight_exponent=1.5)
