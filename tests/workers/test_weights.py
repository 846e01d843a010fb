"""The sample weights of a batch are those that the configuration asks for, and the reports say which."""

from __future__ import annotations

import pytest
import torch

from tests.workers.pair import CLASSES, SHAPE, Plan
from titand.config import POLICIES
from titand.selection import selector
from titand.workers.judge import Judge


def rounds_with_wrong_labels(pair, share, count=400):
    """Rounds on classes that can be told apart at a glance, of which a share comes with another label."""
    for _ in range(count):
        label = torch.randint(CLASSES, (16,), generator=pair.generator)
        x = torch.randn(16, *SHAPE, generator=pair.generator) / 4 + 3 * torch.eye(CLASSES, SHAPE[0])[label]
        is_wrong = torch.rand(16, generator=pair.generator) < share
        another = (label + torch.randint(1, CLASSES, (16,), generator=pair.generator)) % CLASSES
        pair.push(x, torch.where(is_wrong, another, label).tolist())
        pair.filter()
        if pair.select() is not None:
            pair.train()


def test_the_exponent_is_that_of_the_configuration(pairs):
    """Of the same first window: unbiased weights, and their roots, scaled to the root of their mean."""
    weights = {}
    for exponent in (1.0, 0.5, 0.0):
        pair = pairs(Plan(weight_exponent=exponent))
        pair.start()
        weights[exponent] = torch.tensor(pair.round().sample_weights, dtype=torch.float64)
        assert pair.selector.report()["weight_exponent"] == exponent
    root = weights[1.0].sqrt()
    assert root.std() > 0.01
    torch.testing.assert_close(weights[0.5], root * weights[1.0].mean().sqrt() / root.mean())
    torch.testing.assert_close(weights[0.0], torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.0, 0.35), (0.2, 1.0, 1.0)])
def test_wrong_labels_bring_the_weights_back_to_unbiased(pairs, share, least, most):
    pair = pairs(Plan(weight_exponent=0.0, full_contradiction=0.1, slot_count=128))
    pair.start()
    assert pair.selector.report()["contradicted_share"] is None
    rounds_with_wrong_labels(pair, share)
    report = pair.selector.report()
    assert least <= report["weight_exponent"] <= most
    assert report["contradicted_share"] == pytest.approx(share, abs=0.07)


class Listening(Judge):
    """Notes the sample weights that it is asked to judge."""

    def after_selection(self, candidates, hidden, draw, round):
        self.judged = draw.sample_weight.tolist()
        super().after_selection(candidates, hidden, draw, round)


def test_the_judge_is_shown_the_choice_and_not_the_emphasis(pairs):
    unbiased, plain = pairs(Plan()), pairs(Plan(weight_exponent=0.0))
    for pair in (unbiased, plain):
        pair.start()
        pair.selector._judge.__class__ = Listening
        pair.round()
    assert plain.selector._judge.judged == unbiased.selector._judge.judged == list(unbiased.batches[0].sample_weights)
    assert plain.batches[0].sample_weights == pytest.approx((1.0,) * 4)


def test_batches_that_are_random_have_no_exponent(pairs):
    pair = pairs(Plan(policy="uniform"))
    pair.start()
    pair.round()
    report = pair.selector.report()
    assert (report["weight_exponent"], report["contradicted_share"]) == (None, None)


def test_every_policy_of_the_library_can_be_configured():
    assert {*POLICIES, "rs"} == set(selector.POLICIES), "rs is uniform"


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_works_in_the_pair(pairs, policy):
    pair = pairs(Plan(policy=policy))
    pair.start()
    for _ in range(10):
        batch = pair.round()
        assert 1 <= len(batch.slots) <= pair.plan.batch_size
        assert all(weight > 0 for weight in batch.sample_weights)
    assert pair.trainer.refused_updates == 0
    assert pair.ledger.counts().is_balanced
