"""The benchmark's rounds are the daemon's rounds."""

from __future__ import annotations

import itertools
import os
import random
import weakref

import pytest
import torch

from benchmarks.paper import tasks
from benchmarks.paper.methods import METHODS, selector_of
from benchmarks.paper.run import arrivals
from benchmarks.paper.settings import Settings
from benchmarks.paper.simulator import Simulation, feature_size
from tests.arenas import new_arena
from titand.clock import SystemClock
from titand.learning import schedules
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.state import StateLayout, model_tensors
from titand.learning.trainer import Learner
from titand.runtime.arena import FILLED, FREE
from titand.runtime.parameters import ParameterBoard, create_parameters
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.contradiction import Contradiction
from titand.selection.payoff import Payoff
from titand.workers.evaluator import Evaluator
from titand.workers.held_out import HeldOut
from titand.workers.judge import Judge
from titand.workers.model_on_board import ModelOnBoard
from titand.workers.prequential import Prequential
from titand.workers.samples import SampleReader
from titand.workers.selector import Budgets, SelectorWorker
from titand.workers.suspicion import Suspicion
from titand.workers.trainer import TrainerWorker

CPU = torch.device("cpu")
SETTINGS = Settings("digits", "titan", rate=0.05, seed=3, rounds=8)


class Daemon:
    """The daemon's two workers in this process, fed window by window."""

    def __init__(self, settings: Settings) -> None:
        spec, clock = tasks.load(settings.task).spec, SystemClock()
        self.arena = new_arena(settings.window, spec.input.size_bytes)
        model = build(spec, settings.seed)
        optimizer = build_optimizer("sgd", dict(model.named_parameters()))
        learner = Learner(model, optimizer, schedules.step(settings.rate, settings.decay, settings.decay_rounds))
        layout = StateLayout.of(learner.tensors())
        parameters = create_parameters()
        weakref.finalize(self, os.close, parameters)
        board = ParameterBoard(parameters, layout.size_bytes)
        self.trainer = TrainerWorker(self.arena, board, learner, layout, spec, clock)
        self.trainer.begin(None, 0)
        scoring, method = build(spec, settings.seed), METHODS[settings.method]
        rule = method.rule
        coarse_filter = CoarseFilter(
            spec.class_count,
            settings.candidates,
            feature_size(scoring, spec) if rule == "predicted" else 0,
            rule=rule,
            generator=torch.Generator().manual_seed(settings.seed + 1),
        )
        reader, on_board = SampleReader(self.arena, spec, CPU), ModelOnBoard(scoring, ParameterBoard(parameters), False)
        self.selector = SelectorWorker(
            self.arena,
            reader,
            on_board,
            coarse_filter,
            selector_of(method, least=settings.least),
            Judge(scoring, Payoff(0, 1), 1, lambda round: 0.0, torch.Generator()),
            Contradiction(0.0, 0.1) if settings.rule else Contradiction(settings.beta),
            Evaluator(
                reader,
                on_board,
                HeldOut(self.arena, 0, spec.class_count, random.Random(0), 1000),
                Prequential(0.0, clock),
                Suspicion(spec.class_count, torch.Generator()),
            ),
            0.0,
            settings.batch,
            Budgets(settings.candidates, settings.window, settings.window, 1000),
            torch.Generator().manual_seed(settings.seed + 2),
            clock,
        )
        self.permit = self.trainer.first_permit()

    def round(self, raw, label):
        for slot in range(len(label)):
            self.arena.sample(slot)[:] = raw[slot].numpy().tobytes()
            self.arena.label[slot] = int(label[slot])
            self.arena.number[slot] = slot + 1
            self.arena.state[slot] = FILLED
        while self.selector.on_filled():
            pass
        batch = self.selector.on_permit(self.permit)
        self.permit = self.trainer.permit_after(batch)
        self.trainer.on_batch(batch, 0.0)
        self.arena.mark(range(len(label)), FREE)
        return batch


def windows(settings):
    return itertools.islice(arrivals(tasks.load(settings.task).dataset.train, settings), settings.rounds)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"beta": 0.5},
        {"method": "titan-predicted"},
        {"method": "titan-predicted", "rule": "contradiction", "least": 0.1, "noise": 0.2, "rounds": 30},
    ],
)
def test_every_batch_and_the_final_parameters_are_the_daemons_bit_for_bit(changes):
    settings = SETTINGS.but(**changes)
    daemon, simulation = Daemon(settings), Simulation(settings, tasks.load(settings.task).spec)
    for raw, label in windows(settings):
        batch = daemon.round(raw, label)
        chosen, _ = simulation.step(raw, label)
        assert list(batch.slots) == chosen.position.tolist()
        assert list(batch.sample_weights) == chosen.draw.sample_weight.tolist()
        assert batch.version == simulation.scored_version
    theirs = {name: bytes(tensor.data) for name, tensor in daemon.trainer.model_tensors().items()}
    ours = model_tensors(simulation.learner.model)
    assert {name: tensor.detach().numpy().tobytes() for name, tensor in ours.items()} == theirs


def test_a_batch_is_scored_two_versions_before_it_is_trained_into():
    simulation = Simulation(SETTINGS, tasks.load("digits").spec)
    scored = []
    for raw, label in windows(SETTINGS):
        simulation.step(raw, label)
        scored.append(simulation.scored_version)
    assert scored == [0, 0, 1, 2, 3, 4, 5, 6]


def test_without_the_delay_a_batch_is_scored_with_the_newest_version():
    settings = SETTINGS.but(delay=False)
    simulation = Simulation(settings, tasks.load("digits").spec)
    for round, (raw, label) in enumerate(windows(settings)):
        before = {name: tensor.clone() for name, tensor in model_tensors(simulation.learner.model).items()}
        simulation.step(raw, label)
        assert simulation.scored_version == round
        scoring = model_tensors(simulation.choosing.model)
        assert all(torch.equal(scoring[name], before[name]) for name in before)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_chooses_a_batch_of_the_window(method):
    settings = SETTINGS.but(method=method, rounds=3)
    simulation = Simulation(settings, tasks.load("digits").spec)
    for raw, label in windows(settings):
        chosen, report = simulation.step(raw, label)
        position = chosen.position.tolist()
        assert len(set(position)) == len(position) <= settings.batch
        assert all(0 <= each < settings.window for each in position)
        assert report.finite


def test_others_choose_from_the_whole_window_and_the_service_from_what_the_filter_leaves():
    raw, label = next(windows(SETTINGS))
    for method, count in (("hl", 100), ("titan", 30)):
        settings = SETTINGS.but(method=method)
        chosen, _ = Simulation(settings, tasks.load("digits").spec).step(raw, label)
        assert len(chosen.candidates.key) == count


def test_high_loss_takes_the_largest_losses_of_the_window():
    settings = SETTINGS.but(method="hl", rounds=3)
    simulation = Simulation(settings, tasks.load("digits").spec)
    for raw, label in windows(settings):
        chosen, _ = simulation.step(raw, label)
        loss = chosen.scores.loss
        key = torch.tensor(chosen.candidates.key)
        largest = key[loss.argsort(descending=True)[:10]]
        assert sorted(largest.tolist()) == sorted(chosen.position.tolist())
