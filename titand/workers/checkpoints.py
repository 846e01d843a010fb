"""What a checkpoint holds, and when the next one is due."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from titand.clock import Clock
from titand.config import Config
from titand.errors import ModelError, TitanError
from titand.runtime.arena import Arena
from titand.runtime.image import image_of, logged_in
from titand.runtime.parameters import ParameterBoard
from titand.storage.bundles import Bundle, load_newest, newest_generation, write_bundle
from titand.storage.wear import DAY_SECONDS, DailyBytes

RETRY_SECONDS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # after the first, second, ... failure in a row; then the last
SAVED = "saved"  # state of a trainer that has written the last checkpoint of an orderly stop


@dataclass(frozen=True)
class CheckpointFacts:
    """The part of a checkpoint that says what the rest is.

    Attributes:
        version: of the parameters.
        model: fingerprint of model and optimizer that the state fits; empty where there is no state yet.
        samples: fingerprint of the samples that the arena holds.
        paused: whether somebody had paused training.
        clean: whether it was written in an orderly stop, so that nothing came after it.
        guard: what `Guard.to_plain` gave.
        batch: chosen already and not trained on, see `resuming.batch_to_plain`; None for none.
    """

    version: int
    model: str
    samples: str
    paused: bool
    clean: bool
    guard: Mapping[str, Any] = field(default_factory=dict)
    batch: Mapping[str, Any] | None = None


def model_fingerprint(config: Config) -> str:
    """Return a text that is equal for two configurations whose states fit each other."""
    spec, training = dataclasses.asdict(config.model_spec), config.training
    # Without an average as before there was one: what was kept then fits still.
    average = [True] if training.average > 0 else []
    return json.dumps([spec, training.optimizer, training.momentum > 0, *average], sort_keys=True)


def sample_fingerprint(config: Config) -> str:
    """Return a text that is equal for two configurations whose samples fit each other."""
    return config.sample_fingerprint


def facts_of(bundle: Bundle) -> CheckpointFacts:
    """Return what a checkpoint says about itself."""
    return CheckpointFacts(**json.loads(bytes(bundle.sections["facts"])))


def require_fit(facts: CheckpointFacts, config: Config) -> None:
    """Check that a checkpoint belongs to the configured model.

    Raises:
        ModelError: CHECKPOINT_OTHER_MODEL.
    """
    if facts.samples != sample_fingerprint(config) or facts.model not in ("", model_fingerprint(config)):
        raise ModelError(
            "CHECKPOINT_OTHER_MODEL",
            "The checkpoint in the state folder was written for another model, input, labels or optimizer.",
            "Give this model its own service.state_directory, or move the old checkpoints away.",
        )


class CheckpointWriter:
    """Writes checkpoints, spaced so that the medium lives.

    What hinders one ends nothing: another is tried soon, then ever later, each time in a new file.

    Args:
        folder: of the checkpoints.
        arena: whose ledger is part of them.
        daily_bytes: most that checkpoints may write in a day.
        least_seconds: between two checkpoints.
        clock: spaces them.
        with_samples: whether each holds the samples that wait, and not only the last of an orderly stop.
    """

    def __init__(
        self,
        folder: Path,
        arena: Arena,
        daily_bytes: int,
        least_seconds: float,
        clock: Clock,
        with_samples: bool = False,
    ) -> None:
        self._folder = folder
        self._arena = arena
        self._daily_bytes = daily_bytes
        self._clock = clock
        self._written_ns = clock.monotonic_ns()
        self._last_bytes = 0
        self._daily = DailyBytes(clock)
        self._failures = 0
        self._with_samples = with_samples
        self.newest: dict[str, int] = {}  # see `describe`; empty before the first
        self.least_seconds = least_seconds
        self.trouble: TitanError | None = None
        self.durable_ns = newest_ns(folder) or clock.wall_ns()

    @property
    def interval_seconds(self) -> float:
        """Time between two checkpoints: daily budget over the size of the last one, but no less than configured."""
        return max(self.least_seconds, DAY_SECONDS * self._last_bytes / self._daily_bytes)

    @property
    def retry_seconds(self) -> float:
        """Time from a failure to the next try: growing, and in the end no more often than checkpoints that succeed."""
        if self._failures < len(RETRY_SECONDS):
            return RETRY_SECONDS[self._failures - 1]
        return max(RETRY_SECONDS[-1], self.interval_seconds)

    @property
    def is_due(self) -> bool:
        """Whether the next one may be written."""
        pause = self.retry_seconds if self.trouble is not None else self.interval_seconds
        return self._clock.monotonic_ns() - self._written_ns >= pause * 1e9

    def is_worth(self, logged_bytes: int) -> bool:
        """Whether one may be written before its time, to let go of so many bytes of the log of samples.

        It may where it writes no more than the log did: the medium then lasts half as long as with the log alone.
        """
        return self.is_due or (self.trouble is None and logged_bytes >= self._last_bytes)

    def write(
        self, facts: CheckpointFacts, state: memoryview, selector: bytes | None, previous: memoryview | None = None
    ) -> bool:
        """Write one; what hinders it is remembered in `trouble`, and training goes on.

        Args:
            facts: what the rest is.
            state: of the trainer.
            selector: what `selector_state_bytes` gave.
            previous: the trainer's state a round earlier, where the next batch is to be scored with that.
        """
        self._written_ns = self._clock.monotonic_ns()
        try:
            sections: dict[str, Any] = {
                "facts": json.dumps(dataclasses.asdict(facts)).encode(),
                "state": state,
                "selector": selector or b"",
                **({"previous": previous} if previous is not None else {}),
                "arena": image_of(self._arena, with_samples=facts.clean or self._with_samples),
            }
            self._last_bytes = sum(len(section) for section in sections.values())
            write_bundle(self._folder, newest_generation(self._folder) + 1, sections)
        except TitanError as error:
            self.trouble = error
            self._failures += 1
            return False
        self.trouble = None
        self._failures = 0
        self.durable_ns = self._clock.wall_ns()
        self.count(self._last_bytes)
        self.newest = describe(sections, facts, self.durable_ns)
        return True

    def count(self, written_bytes: int) -> None:
        """Add to today's account."""
        self._daily.add(written_bytes)

    @property
    def written_today_bytes(self) -> int:
        """Bytes written since midnight UTC, or since the start."""
        return self._daily.today


def describe(sections: Mapping[str, Any], facts: CheckpointFacts, time_ns: int) -> dict[str, int]:
    """Return what the boards say of a checkpoint.

    Returns:
        Its `round`, `size_bytes` and `time_ns`, and the `sequence` of the newest record of the log of samples that it
        has.
    """
    return {
        "round": facts.version,
        "size_bytes": sum(len(section) for section in sections.values()),
        "time_ns": time_ns,
        "sequence": logged_in(bytes(sections["arena"])),
    }


def newest_ns(folder: Path) -> int | None:
    """Return when the newest checkpoint was written, as its file says; None if there is none, or the disk is silent."""
    try:
        return max((path.stat().st_mtime_ns for path in folder.glob("*.bundle")), default=None)
    except OSError:
        return None


def write_last(
    config: Config,
    arena: Arena,
    parameters: int,
    selector: bytes | None,
    paused: bool,
    guard: Mapping[str, Any],
    clock: Clock,
) -> CheckpointFacts:
    """Write the checkpoint that the trainer did not live to write, when every other process has ended.

    The state is the parameter board's; where no trainer came so far as to publish one, it is the newest checkpoint's,
    which may even be of another model, as long as it takes the same samples.

    Args:
        config: the daemon's.
        arena: in which nothing moves any more.
        parameters: memory of the parameter board, possibly still without a size.
        selector: its last state, if it is known.
        paused: whether somebody had paused training.
        guard: what the trainer said of it; empty if it never did, and then it is the newest checkpoint's.
        clock: of the writer.

    Raises:
        ModelError: CHECKPOINT_OTHER_MODEL, the newest checkpoint is not to be replaced.
        TitanError: the disk refuses.
    """
    samples = sample_fingerprint(config)
    facts, state = CheckpointFacts(0, "", samples, paused, clean=True, guard=guard), memoryview(b"")
    if os.fstat(parameters).st_size and (board := ParameterBoard(parameters)).version >= 0:
        facts = dataclasses.replace(facts, version=board.version, model=model_fingerprint(config))
        state = board.slot(board.version)
        if not guard and (newest := load_newest(config.checkpoint_folder)[0]) is not None:
            facts = dataclasses.replace(facts, guard=facts_of(newest).guard)
    elif (newest := load_newest(config.checkpoint_folder)[0]) is not None:
        old = facts_of(newest)
        require_fit(dataclasses.replace(old, model=""), config)
        facts = dataclasses.replace(facts, version=old.version, model=old.model, guard=guard or old.guard)
        state, selector = newest.sections["state"], selector or bytes(newest.sections["selector"])
    writer = CheckpointWriter(config.checkpoint_folder, arena, config.storage.daily_bytes, 0.0, clock)
    if not writer.write(facts, state, selector) and writer.trouble is not None:
        raise writer.trouble
    return facts
