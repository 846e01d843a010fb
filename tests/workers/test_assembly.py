"""From configuration to workers: what is named is what is built, what is not there is said."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch
from safetensors.torch import save_file

from tests.workers.pair import Pair, Plan
from titand.config import ModelConfig, TrainingConfig
from titand.errors import ModelError, TitanError
from titand.learning.state import model_tensors
from titand.runtime.boards import Memory
from titand.workers.assembly import (
    build_learner,
    build_schedule,
    build_selector,
    choose_device,
    restore_selector,
    selector_state_bytes,
)


def with_training(**values):
    config = Plan().config
    return dataclasses.replace(config, training=TrainingConfig(**values))


def test_auto_takes_what_is_there():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("wanted", ["nonsense", "cuda:77", "mps"])
def test_a_device_that_is_not_there_is_named(wanted):
    with pytest.raises(ModelError, match=wanted) as caught:
        choose_device(wanted)
    assert caught.value.reason == "DEVICE_MISSING"
    assert "auto or cpu" in caught.value.remedy


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        ({"schedule": "constant", "learning_rate": 0.2}, {1: 0.2, 10_000: 0.2}),
        (
            {"schedule": "step", "learning_rate": 0.1, "decay": 0.5, "decay_rounds": 10},
            {1: 0.1, 10: 0.1, 11: 0.05, 21: 0.025},
        ),
        ({"schedule": "cosine", "learning_rate": 0.1, "decay_rounds": 100}, {1: 0.1, 51: 0.05, 101: 0.0, 500: 0.0}),
    ],
)
def test_the_schedule_is_the_configured_one(values, rates):
    schedule = build_schedule(with_training(**values))
    for round, rate in rates.items():
        assert schedule(round) == pytest.approx(rate, abs=0.02 * values["learning_rate"]), round


@pytest.mark.parametrize(
    ("values", "slots"),
    [
        ({"average": 0.0}, set()),
        ({}, {"average"}),
        ({"momentum": 0.9}, {"average", "momentum"}),
        pytest.param({"optimizer": "adam"}, {"average", "step", "exp_avg", "exp_avg_sq"}, marks=pytest.mark.nightly),
        pytest.param(
            {"optimizer": "rmsprop", "weight_decay": 0.1}, {"average", "step", "square_avg"}, marks=pytest.mark.nightly
        ),
    ],
)
def test_the_optimizer_and_the_average_are_the_configured_ones_and_part_of_the_state(values, slots):
    learner, layout = build_learner(with_training(**values))
    own = {entry.name for entry in layout.entries} - set(model_tensors(learner.model))
    assert {name.split("/")[0] for name in own} == slots


def test_the_seed_decides_the_initial_parameters():
    config = Plan().config

    def weight(seed: int):
        return build_learner(dataclasses.replace(config, model=dataclasses.replace(config.model, seed=seed)))[0].model

    one, same, other = weight(1), weight(1), weight(2)
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_model_may_start_from_a_file(tmp_path):
    config = Plan().config
    first, _ = build_learner(config)
    with torch.no_grad():
        first.model.head.bias.fill_(7.0)
    path = tmp_path / "initial.safetensors"
    save_file(first.model.state_dict(), path)
    model = ModelConfig(**{**vars(config.model), "initial": str(path), "seed": 5})
    second, _ = build_learner(dataclasses.replace(config, model=model))
    for name, tensor in model_tensors(first.model).items():
        assert torch.equal(tensor, model_tensors(second.model)[name]), name


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"\x00" * 100])
def test_a_file_to_start_from_that_is_missing_or_broken_is_named(tmp_path, content):
    path = tmp_path / "initial.safetensors"
    if content is not None:
        path.write_bytes(content)
    config = Plan().config
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, initial=str(path)))
    with pytest.raises(TitanError, match=r"initial\.safetensors"):
        build_learner(config)


@pytest.mark.parametrize("rule", ["stratified", "predicted", "rep-div"])
def test_what_a_selector_learned_outlives_it(pairs, rule):
    pair = pairs(Plan(rule=rule))
    pair.start()
    for _ in range(5):
        pair.round()
    memory = Memory(pair.descriptors.memory)
    memory.write(selector_state_bytes(pair.selector))
    known = pair.selector.state()
    pair.start()
    assert not all(torch.equal(tensor, pair.selector.state()[name]) for name, tensor in known.items())
    restore_selector(pair.selector, memory.read())
    for name, tensor in known.items():
        assert torch.equal(tensor, pair.selector.state()[name]), name
    pair.round()


def test_what_a_selector_of_another_rule_learned_is_refused(pairs):
    stratified, predicted = pairs(Plan()), pairs(Plan(rule="predicted"))
    stratified.start(), predicted.start()
    with pytest.raises((ValueError, KeyError)):
        restore_selector(predicted.selector, selector_state_bytes(stratified.selector))


def test_a_selector_needs_a_version_to_read(pairs):
    pair: Pair = pairs()
    with pytest.raises(ValueError, match="parameter memory"):
        build_selector(pair.around())
    assert os.fstat(pair.descriptors.parameters).st_size == 0
