"""Going back to earlier parameters: which, how often, and when to stop trying."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from titand.errors import ModelError, TitanError
from titand.learning.state import StateLayout, model_tensors
from titand.storage.bundles import load_newest
from titand.storage.snapshots import SnapshotStore
from titand.workers.assembly import Surroundings, build_learner
from titand.workers.checkpoints import facts_of, require_fit
from titand.workers.gatekeeper import load_snapshot
from titand.workers.trainer import TrainerWorker

CHECKPOINT, INITIAL = "checkpoint", "initial"  # sources other than snapshots
REQUESTED = "REQUESTED"
REPEATEDLY = "ROLLED_BACK_REPEATEDLY"


class Rollbacks:
    """Rolls a trainer back, and remembers it.

    Args:
        around: where checkpoints are, and what the model is.
        worker: gets the earlier parameters.
        store: where snapshots are.
        memory: what `to_plain` gave in an earlier life; empty for a new model.
    """

    def __init__(
        self, around: Surroundings, worker: TrainerWorker, store: SnapshotStore, memory: Mapping[str, Any]
    ) -> None:
        self._around = around
        self._worker = worker
        self._store = store
        self._rate = around.config.training.learning_rate
        self.automatic = int(memory.get("automatic", 0))
        self.in_a_row = int(memory.get("in_a_row", 0))
        self.last: Mapping[str, Any] | None = memory.get("last")
        self.pause: Mapping[str, Any] | None = memory.get("pause")
        if memory.get("learning_rate") == self._rate:  # whoever sets another rate has cut it himself
            worker.rate_factor = float(memory.get("rate_factor", 1.0))
        if self.last is not None and self.last["round"] > worker.version:
            with suppress(TitanError):  # a checkpoint has it, unless we were killed before that
                self._restore(self.last["source"])  # it was said to be done, and no round has begun from it yet

    def to_plain(self) -> dict[str, Any]:
        """Return what a successor has to know."""
        return {
            "automatic": self.automatic,
            "in_a_row": self.in_a_row,
            "last": self.last,
            "pause": self.pause,
            "learning_rate": self._rate,
            "rate_factor": self._worker.rate_factor,
        }

    def to_snapshot(self, name: str, note: str) -> Mapping[str, Any]:
        """Go back to a snapshot because somebody wants it; return what was done.

        Raises:
            NotFound: SNAPSHOT_NOT_FOUND.
            CorruptFile: it is not what was written; the parameters are what they were.
            ModelError: SNAPSHOT_OTHER_MODEL, likewise.
        """
        try:
            self._restore(name)
        except ModelError as error:
            raise ModelError(
                "SNAPSHOT_OTHER_MODEL", f"{name} is of another model: {error.message}", "Name another snapshot."
            ) from error
        self.in_a_row = 0
        return self._note(name, REQUESTED, f"Rolled back to {name} on request: {note or 'no reason was given'}.")

    def to_good(self, reason: str, message: str, limit: int, rate_factor: float = 1.0) -> Mapping[str, Any]:
        """Go back to the best snapshot, or failing that the last checkpoint, or the initial parameters.

        Args:
            reason: UPPER_SNAKE_CASE.
            message: the same for people.
            limit: rollbacks in a row that pause the training.
            rate_factor: that the learning rate is multiplied by from now on.
        """
        source = self._restore_first([self._store.best, CHECKPOINT, INITIAL])
        self.automatic += 1
        self.in_a_row += 1
        self._worker.rate_factor *= rate_factor
        if self.in_a_row >= limit:
            text = (
                f"Rolled back {self.in_a_row} times in a row, the last time because: {message} Look at what is pushed"
                " and at training.learning_rate; `titanctl resume` tries again."
            )
            self.pause = {"reason": REPEATEDLY, "message": text, "since_ns": self._around.clock.wall_ns()}
        return self._note(source, reason, message)

    def passed(self) -> None:
        """Take note that the parameters got through a comparison since."""
        self.in_a_row = 0

    def resume(self) -> None:
        """Try again."""
        self.pause, self.in_a_row = None, 0

    def _note(self, source: str, reason: str, message: str) -> Mapping[str, Any]:
        self.last = {
            "round": self._worker.version + 1,
            "source": source,
            "reason": reason,
            "message": message,
            "time_ns": self._around.clock.wall_ns(),
        }
        return self.last

    def _restore_first(self, sources: list[str]) -> str:
        for source in filter(None, sources):
            try:
                self._restore(source)
                return source
            except TitanError:
                continue  # damaged, or of another model: the next one
        raise ModelError("NOTHING_TO_RESTORE", "There are no parameters to go back to.", "Start with a new state.")

    def _restore(self, source: str) -> None:
        if source == CHECKPOINT:
            self._worker.restore(self._checkpoint())
        elif source == INITIAL:
            self._worker.restore(model_tensors(build_learner(self._around.config)[0].model))
        else:
            self._worker.restore(load_snapshot(self._store, source))

    def _checkpoint(self) -> Mapping[str, Tensor]:
        bundle, _ = load_newest(self._around.config.checkpoint_folder)
        if bundle is None or not bundle.sections["state"]:
            raise ModelError("NO_CHECKPOINT", "There is no checkpoint yet.")
        require_fit(facts_of(bundle), self._around.config)
        learner, layout = build_learner(self._around.config)
        return _finite(layout, bundle.sections["state"], model_tensors(learner.model))


def _finite(layout: StateLayout, state: memoryview, wanted: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    values = {name: view for name, view in layout.views(state).items() if name in wanted}
    if not all(bool(torch.isfinite(value).all()) for value in values.values()):
        raise ModelError("CHECKPOINT_NOT_FINITE", "The last checkpoint holds values that are not finite.")
    return values
