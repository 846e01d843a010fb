"""From configuration and descriptors to the two workers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import torch as safetensors

from titand.clock import Clock
from titand.config import Config, SelectionConfig
from titand.config_text import config_from_json
from titand.errors import ModelError
from titand.learning import schedules
from titand.learning.averaging import Average
from titand.learning.export import load_safetensors_into
from titand.learning.models.split import SplitModel
from titand.learning.models.zoo import build
from titand.learning.optimizers import build_optimizer
from titand.learning.schedules import Schedule
from titand.learning.scoring import first_block_feature
from titand.learning.state import StateLayout
from titand.learning.trainer import Learner
from titand.records import ModelSpec
from titand.runtime.arena import Arena
from titand.runtime.boards import Boards, Memory
from titand.runtime.descriptors import Descriptors, read_text
from titand.runtime.parameters import ParameterBoard
from titand.selection.coarse_filter import CoarseFilter
from titand.selection.contradiction import Contradiction
from titand.selection.payoff import Payoff
from titand.selection.selector import make_selector
from titand.workers.evaluator import Evaluator
from titand.workers.held_out import HeldOut
from titand.workers.judge import Judge
from titand.workers.model_on_board import ModelOnBoard
from titand.workers.prequential import Prequential
from titand.workers.replay import Replay
from titand.workers.samples import SampleReader
from titand.workers.selector import Budgets, SelectorWorker
from titand.workers.suspicion import Suspicion
from titand.workers.trainer import TrainerWorker


@dataclass(frozen=True)
class Surroundings:
    """What a worker process works on."""

    config: Config
    arena: Arena
    boards: Boards
    memory: Memory
    descriptors: Descriptors
    clock: Clock

    @staticmethod
    def open(descriptors: Descriptors, clock: Clock) -> Surroundings:
        """Map everything that was inherited."""
        return Surroundings(
            config_from_json(read_text(descriptors.config)),
            Arena(descriptors.arena),
            Boards(descriptors.boards, clock),
            Memory(descriptors.memory),
            descriptors,
            clock,
        )


def build_learner(config: Config) -> tuple[Learner, StateLayout]:
    """Return model and optimizer with initial values, and the layout of their state.

    Raises:
        ModelError: the model cannot be built, or its initial parameters not be loaded.
    """
    model = build(config.model_spec, config.model.seed)
    if config.model.initial:
        load_safetensors_into(model, Path(config.model.initial))
    training = config.training
    options: dict[str, float] = {}
    if training.optimizer == "sgd":
        options["momentum"] = training.momentum
    if training.weight_decay:
        options["weight_decay"] = training.weight_decay
    optimizer = build_optimizer(training.optimizer, dict(model.named_parameters()), **options)
    average = Average(model, training.average) if training.average else None
    learner = Learner(model, optimizer, build_schedule(config), average)
    return learner, StateLayout.of(learner.tensors())


def build_schedule(config: Config) -> Schedule:
    """Return the learning rate by round."""
    training = config.training
    if training.schedule == "step":
        return schedules.step(training.learning_rate, training.decay, training.decay_rounds)
    if training.schedule == "cosine":
        return schedules.cosine(training.learning_rate, training.decay_rounds)
    return schedules.constant(training.learning_rate)


def build_trainer(around: Surroundings) -> TrainerWorker:
    """Return the trainer, its board still without a version if it is new."""
    torch.set_num_threads(around.config.training.threads)
    learner, layout = build_learner(around.config)
    board = ParameterBoard(around.descriptors.parameters, layout.size_bytes)
    replay = build_replay(around.config)
    return TrainerWorker(around.arena, board, learner, layout, around.config.model_spec, around.clock, replay)


def build_replay(config: Config) -> Replay | None:
    """Return the reservoir of trained samples; None where none is wanted."""
    training, class_count = config.training, config.model_spec.class_count
    if not training.replay_share:
        return None
    generator = torch.Generator().manual_seed(config.model.seed + 4)
    return Replay(training.replay_samples, training.replay_share, class_count, training.batch_size, generator)


def build_selector(around: Surroundings) -> SelectorWorker:
    """Return the selector. The board must have a version already.

    Raises:
        ModelError: the device that is configured is not there.
    """
    config, spec = around.config, around.config.model_spec
    torch.set_num_threads(config.selection.threads)
    device = choose_device(config.selection.device)
    board = ParameterBoard(around.descriptors.parameters)
    model = build(spec, config.model.seed)  # its values come from the board
    selection = config.selection
    coarse_filter = CoarseFilter(
        spec.class_count,
        selection.candidates,
        _feature_size(model, spec) if filter_rule(selection) in ("predicted", "rep-div") else 0,
        rule=filter_rule(selection),
        decay=selection.statistics_decay,
        generator=torch.Generator().manual_seed(config.model.seed + 1),
        device=device,
    )
    options = {"least_importance": selection.least_importance} if selection.policy == "cis" else {}
    reader = SampleReader(around.arena, spec, device)
    parameters = ModelOnBoard(model.to(device), board, config.training.average > 0)
    return SelectorWorker(
        around.arena,
        reader,
        parameters,
        coarse_filter,
        make_selector(selection.policy, **options),
        Judge(
            model,
            Payoff(selection.horizon_rounds, selection.rest_rounds),
            selection.horizon_rounds,
            build_schedule(config),
            torch.Generator().manual_seed(config.model.seed + 3),
        ),
        Contradiction(selection.weight_exponent, selection.full_contradiction),
        build_evaluator(around, reader, parameters),
        config.evaluation.held_out_ratio if config.evaluation.held_out_samples else 0.0,
        config.training.batch_size,
        budgets_of(config),
        torch.Generator().manual_seed(config.model.seed + 2),
        around.clock,
    )


def build_evaluator(around: Surroundings, reader: SampleReader, parameters: ModelOnBoard) -> Evaluator:
    """Return what asks the model; the held-out samples that are in the arena are its own."""
    config, class_count = around.config.evaluation, reader.class_count
    seed = around.config.model.seed + 2
    return Evaluator(
        reader,
        parameters,
        HeldOut(around.arena, config.held_out_samples, class_count, random.Random(seed), config.held_out_rounds),
        Prequential(around.config.guard.margin, around.clock),
        Suspicion(class_count, torch.Generator().manual_seed(seed)),
    )


def filter_rule(selection: SelectionConfig) -> str:
    """Return the rule of the coarse filter: the configured one, but that the control is random throughout."""
    return "uniform" if selection.policy == "uniform" else selection.filter


def budgets_of(config: Config) -> Budgets:
    """Return what may change between rounds."""
    return Budgets(
        config.selection.candidates,
        config.round_samples,
        config.selection.micro_batch,
        config.evaluation.every_rounds,
    )


def choose_device(wanted: str) -> torch.device:
    """Return the accelerator if there is one and it is wanted, else the CPU.

    Raises:
        ModelError: DEVICE_MISSING, the one that is named is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            "DEVICE_MISSING",
            f"selection.device is {wanted!r}, and torch cannot use it: {str(error).splitlines()[0]}",
            "Set it to auto or cpu, or install a torch that sees this accelerator.",
        ) from error
    return device


def selector_state_bytes(worker: SelectorWorker, with_window: bool = False) -> bytes:
    """Return the selector's state as bytes, see `SelectorWorker.state`."""
    state = worker.state(with_window)
    return safetensors.save({name: tensor.contiguous().cpu() for name, tensor in state.items()})


def restore_selector(worker: SelectorWorker, state: bytes) -> None:
    """Continue from what `selector_state_bytes` gave."""
    worker.restore(safetensors.load(state))


def _feature_size(model: SplitModel, spec: ModelSpec) -> int:
    return first_block_feature(model, torch.zeros(1, *spec.input.shape)).shape[1]
