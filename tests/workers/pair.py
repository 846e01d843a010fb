"""Selector and trainer over one arena and one parameter board, with the test in the place of processes and sockets."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from titand.clock import SystemClock
from titand.config import (
    Config,
    EvaluationConfig,
    InputConfig,
    ModelConfig,
    RoundConfig,
    SelectionConfig,
    TrainingConfig,
)
from titand.config_text import config_to_json
from titand.learning.models.zoo import build
from titand.learning.state import model_tensors
from titand.records import Batch, Permit
from titand.runtime.arena import Arena, ArenaLayout, create_arena, recover_slots
from titand.runtime.boards import Boards, Memory, create_boards, create_memory
from titand.runtime.descriptors import Descriptors, create_text
from titand.runtime.ledger import Ledger
from titand.runtime.parameters import ParameterBoard, create_parameters
from titand.workers.assembly import Surroundings, build_learner, build_selector, build_trainer, restore_selector
from titand.workers.resuming import batch_from_plain

SHAPE, CLASSES, MEAN, STD = (6,), 3, 0.5, 2.0


@dataclass(frozen=True)
class Plan:
    """What the pair is to do; small, so that a round takes a millisecond."""

    policy: str = "cis"
    rule: str = "stratified"
    weight_exponent: float = 1.0
    full_contradiction: float = 0.0
    batch_size: int = 4
    candidates: int = 8
    round_samples: int = 16
    micro_batch: int = 5
    held_out_ratio: float = 0.1
    held_out_samples: int = 6
    evaluate_every: int = 3
    momentum: float = 0.9
    average: float = 0.0
    learning_rate: float = 0.05
    slot_count: int = 96

    @property
    def config(self) -> Config:
        """The same as a configuration."""
        return Config(
            ModelConfig(
                "mlp", ("a", "b", "c"), InputConfig("float32", SHAPE, mean=(MEAN,), std=(STD,)), {"hidden": [8]}
            ),
            TrainingConfig(
                self.batch_size,
                learning_rate=self.learning_rate,
                momentum=self.momentum,
                schedule="constant",
                average=self.average,
            ),
            SelectionConfig(
                self.policy,
                self.candidates,
                self.rule,
                self.weight_exponent,
                self.full_contradiction,
                device="cpu",
                micro_batch=self.micro_batch,
            ),
            RoundConfig(self.round_samples),
            evaluation=EvaluationConfig(self.held_out_ratio, self.held_out_samples, self.evaluate_every),
        )


class Recorder:
    """A selector that notes what it is given, and may be interrupted."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.seen: list[tuple] = []
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def needs_scores(self) -> bool:
        """See `Selector`."""
        return self.inner.needs_scores

    def select(self, candidates, scores, batch_size, generator):
        """See `Selector`."""
        self.seen.append((candidates, scores))
        self.meanwhile()
        return self.inner.select(candidates, scores, batch_size, generator)


class Interrupted:
    """An optimizer that is interrupted when the parameters have changed, but are not published."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.meanwhile: Callable[[], None] = lambda: None

    def tensors(self):
        """See `Optimizer`."""
        return self.inner.tensors()

    def step(self, gradients, rate):
        """See `Optimizer`."""
        self.inner.step(gradients, rate)
        self.meanwhile()


@dataclass
class Pair:
    """Both workers, what they have in common, and the two messages that may be between them."""

    plan: Plan = field(default_factory=Plan)
    seed: int = 0

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.config = self.plan.config
        self.spec = self.config.model_spec
        self.descriptors = Descriptors(
            config=create_text(config_to_json(self.config)),
            boards=create_boards(),
            arena=create_arena(ArenaLayout(self.plan.slot_count, self.spec.input.size_bytes)),
            filled=os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC),
            parameters=create_parameters(),
            memory=create_memory(),
        )
        self.front = Arena(self.descriptors.arena)
        self.ledger = Ledger(self.front, self.descriptors.filled, self.clock)
        self.layout = build_learner(self.config)[1]
        self.generator = torch.Generator().manual_seed(self.seed)
        self.pushed = 0
        self.permit: Permit | None = None
        self.batch: Batch | None = None
        self.batches: list[Batch] = []

    def close(self) -> None:
        """Let go of the memories."""
        for descriptor in self.descriptors.all():
            os.close(descriptor)

    def around(self, arena: Arena | None = None) -> Surroundings:
        """Map the memories anew, as a fresh process does."""
        return Surroundings(
            self.config,
            arena or Arena(self.descriptors.arena),
            Boards(self.descriptors.boards, self.clock),
            Memory(self.descriptors.memory),
            self.descriptors,
            self.clock,
        )

    def start(
        self,
        arena: Arena | None = None,
        state: memoryview | None = None,
        version: int = 0,
        previous: memoryview | None = None,
        selector: bytes | None = None,
        batch: dict | None = None,
    ) -> None:
        """Start both workers, the first ones or the successors of dead ones, in the order of the processes.

        Args:
            arena: how the workers see it.
            state, version, previous: of a checkpoint, see `TrainerWorker.begin`.
            selector: of a checkpoint, see `selector_state_bytes`.
            batch: of a checkpoint, see `batch_to_plain`.
        """
        around = self.around(arena)
        self.permit, self.batch = None, None
        self.arena = around.arena
        self.trainer = build_trainer(around)
        self.trainer.begin(state, version, previous)
        self.board = ParameterBoard(self.descriptors.parameters)
        self.optimizer = Interrupted(self.trainer._learner._optimizer)
        self.trainer._learner._optimizer = self.optimizer
        self.batch = batch_from_plain(batch, self.arena) if batch else None
        self.permit = self.trainer.permit_after(self.batch) if self.batch else self.trainer.first_permit()
        self.selector = build_selector(around)
        if selector:
            restore_selector(self.selector, selector)
        self.recovered = recover_slots(self.arena, self.board.version, self.permit.round - 1, self.selector.candidates)
        self.recorder = Recorder(self.selector._selector)
        self.selector._selector = self.recorder
        self.selector.load(self.permit.version)

    # ---- what processes and sockets would do

    def feed(self, count: int = 16) -> int:
        """Push samples of three classes that can be told apart; return how many found room."""
        label = torch.randint(CLASSES, (count,), generator=self.generator)
        x = torch.randn(count, *SHAPE, generator=self.generator) + 3 * torch.eye(CLASSES, SHAPE[0])[label]
        return self.push(x, label.tolist())

    def push(self, x: torch.Tensor, labels: list[int]) -> int:
        """Push these samples."""
        data = memoryview(x.contiguous().numpy().tobytes())
        label = memoryview(array("i", labels))
        runs = self.ledger.admit(0, self.pushed + 1, label, memoryview(array("q")), data)
        admitted = sum(count for _, count in runs)
        self.pushed += admitted
        return admitted

    def filter(self) -> None:
        """Let the selector look at all that waits."""
        while self.selector.on_filled():
            pass

    def select(self) -> Batch | None:
        """Let the selector answer the permit, if it has one and a window."""
        if self.permit is None or not self.selector.is_window_ready:
            return None
        permit, self.permit = self.permit, None
        self.selector.load(permit.version)
        assert self.batch is None, "two batches under way"
        batch = self.selector.on_permit(permit)
        self.batch = batch
        return batch

    def train(self) -> None:
        """Let the trainer take the batch: permit first, then the step."""
        assert self.batch is not None
        batch, self.batch = self.batch, None
        assert self.permit is None, "two permits under way"
        self.permit = self.trainer.permit_after(batch)
        self.batches.append(batch)
        self.trainer.on_batch(batch, 0.0)

    def round(self) -> Batch:
        """Go through one whole round."""
        self.feed(2 * self.plan.round_samples)
        self.filter()
        while (batch := self.select()) is None:
            self.feed(self.plan.round_samples)
            self.filter()
        self.train()
        return batch

    # ---- what a test looks at

    def copy_of(self, version: int) -> dict[str, torch.Tensor]:
        """Return a copy of a version's tensors."""
        return {name: view.clone() for name, view in self.layout.views(self.board.slot(version)).items()}

    def numbers(self, batch: Batch) -> list[int]:
        """Return the numbers of a batch's samples."""
        return [self.arena.number[slot] for slot in batch.slots]

    def states(self) -> list[int]:
        """Return all states."""
        return list(self.arena.state)


def probabilities(tensors: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return what a model with these values says of raw inputs; an oracle that shares no memory with the pair."""
    model = build(Plan().config.model_spec, seed=99).eval()
    model.load_state_dict({name: tensors[name] for name in model_tensors(model)})
    with torch.no_grad():
        return torch.softmax(model((x - MEAN) / STD), dim=1)
