"""A trainer whose next round begins from other parameters, or changes none."""

from __future__ import annotations

import pytest
import torch

from tests.workers.guarded import batch_of, equal, model_of, snapshot, teach
from tests.workers.pair import MEAN, STD
from titand.errors import ModelError
from titand.learning.models.zoo import build
from titand.records import Batch


def test_the_round_after_a_rollback_is_one_step_from_the_old_parameters_without_their_momentum(home):
    teach(home, 3)
    name, old = snapshot(home), model_of(home, home.trainer.state())
    teach(home, 4)
    home.trainer.restore({key: value.clone() for key, value in old.items()})
    batch = batch_of(home, 8)
    home.trainer.on_batch(batch, 0.0)

    twin = build(home.spec, seed=99)
    twin.load_state_dict(old)
    raw = [torch.frombuffer(bytearray(home.front.sample(slot)), dtype=torch.float32) for slot in batch.slots]
    label = torch.tensor([home.front.label[slot] for slot in batch.slots])
    losses = torch.nn.functional.cross_entropy(twin((torch.stack(raw) - MEAN) / STD), label, reduction="none")
    (losses * torch.tensor(batch.sample_weights)).mean().backward()
    published = home.copy_of(8)
    for key, parameter in twin.named_parameters():
        torch.testing.assert_close(published[key], parameter.detach() - 0.05 * parameter.grad, msg=key)
        torch.testing.assert_close(published[f"momentum/{key}"], parameter.grad, msg=key)
    assert name == "r00000003"


def test_nothing_on_the_board_changes_before_the_next_round(home):
    teach(home, 3)
    old = model_of(home, home.trainer.state())
    teach(home, 2)
    before = bytes(home.board.slot(4)), bytes(home.board.slot(5))
    home.trainer.restore(old)
    assert (bytes(home.board.slot(4)), bytes(home.board.slot(5))) == before
    assert home.trainer.version == 5
    assert equal(model_of(home, home.trainer.state()), old)
    held = {name: bytes(tensor.data) for name, tensor in home.trainer.model_tensors().items()}
    assert held == {name: value.numpy().tobytes() for name, value in old.items()}
    home.trainer.on_batch(Batch(6, (), (), 4), 0.0)
    assert equal(model_of(home, home.board.slot(6)), old)


def test_a_round_without_samples_changes_nothing_and_counts_as_left_out(home):
    teach(home, 2)
    before = bytes(home.trainer.state())
    step = home.trainer.on_batch(Batch(3, (), (), 1), 0.0)
    assert (step.finite, home.trainer.version, home.trainer.refused_updates) == (False, 3, 1)
    assert bytes(home.trainer.state()) == before


def test_an_update_to_parameters_beyond_measure_is_not_published(home):
    teach(home, 2)
    before = bytes(home.trainer.state())
    home.trainer.rate_factor = 1e30
    step = home.trainer.on_batch(batch_of(home, 3), 0.0)
    assert not step.finite
    assert (home.trainer.version, bytes(home.trainer.state())) == (3, before)


@pytest.mark.parametrize("change", ["shape", "missing", "surplus"])
def test_parameters_of_another_model_are_refused_whole(home, change):
    teach(home, 2)
    before = bytes(home.trainer.state())
    other = model_of(home, home.trainer.state())
    if change == "shape":
        other["head.weight"] = torch.zeros(2, 2)
    elif change == "missing":
        del other["head.weight"]
    else:
        other["more"] = torch.zeros(1)
    with pytest.raises(ModelError):
        home.trainer.restore(other)
    assert bytes(home.trainer.state()) == before
