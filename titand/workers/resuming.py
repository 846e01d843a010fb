"""From a checkpoint back to two workers that go on as if nothing had been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from titand.records import Batch
from titand.runtime.arena import SELECTED, Arena
from titand.runtime.log import Log
from titand.storage.bundles import load_newest
from titand.workers.assembly import Surroundings
from titand.workers.checkpoints import facts_of, require_fit
from titand.workers.trainer import TrainerWorker


@dataclass(frozen=True)
class Resumed:
    """What a trainer goes on with besides its state.

    Attributes:
        guard: what the guard knew.
        batch: that was chosen already, and not trained on.
    """

    guard: Mapping[str, Any] = field(default_factory=dict)
    batch: Batch | None = None


def begin(around: Surroundings, worker: TrainerWorker, log: Log) -> Resumed:
    """Publish the first version: the board's own, else the checkpoint's, else the model's initial values.

    Raises:
        ModelError: CHECKPOINT_OTHER_MODEL.
        StorageError: the checkpoints cannot be read.
    """
    if worker.version >= 0:
        log.warning("goes on from the parameters of the last trainer", version=worker.version)
        worker.begin(None, 0)
        return Resumed()
    bundle, damaged = load_newest(around.config.checkpoint_folder)
    for broken in damaged:  # since the daemon looked: it told the health list what it found itself
        log.error("a damaged checkpoint was set aside", path=broken.path, defect=broken.defect)
    if bundle is None:
        worker.begin(None, 0)
        return Resumed()
    facts = facts_of(bundle)
    require_fit(facts, around.config)
    # None: stopped before there was a model.
    worker.begin(bundle.sections["state"] or None, facts.version, bundle.sections.get("previous"))
    if bundle.sections["selector"] and around.memory.read() is None:
        around.memory.write(bytes(bundle.sections["selector"]))
    log.info("goes on from a checkpoint", version=facts.version, generation=bundle.generation, clean=facts.clean)
    return Resumed(facts.guard, batch_from_plain(facts.batch, around.arena) if facts.batch else None)


def batch_to_plain(batch: Batch, arena: Arena) -> dict[str, Any]:
    """Return a batch for a checkpoint: slots change, numbers stay."""
    return {
        "round": batch.round,
        "numbers": [arena.number[slot] for slot in batch.slots],
        "sample_weights": list(batch.sample_weights),
        "version": batch.version,
        "facts": {name: fact for name, fact in batch.facts.items() if name != "sent_ns"},  # of a clock that ends
    }


def batch_from_plain(plain: Mapping[str, Any], arena: Arena) -> Batch | None:
    """Return the batch whose samples are in the arena now; None if they are not all there."""
    slots = {arena.number[slot]: slot for slot in arena.slots_in(SELECTED)}
    if not slots.keys() >= set(plain["numbers"]):
        return None
    return Batch(
        plain["round"],
        tuple(slots[number] for number in plain["numbers"]),
        tuple(plain["sample_weights"]),
        plain["version"],
        plain["facts"],
    )
