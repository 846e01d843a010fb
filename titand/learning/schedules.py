"""Learning rate as a function of the round alone: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable

from titand.errors import ConfigError

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """Return the same rate for every round."""
    return lambda round: rate


def step(rate: float, decay: float = 0.95, every: int = 100) -> Schedule:
    """Return rate * decay ** floor((round - 1) / every): the paper's schedule with its defaults.

    >>> schedule = step(0.1)
    >>> schedule(1), schedule(100), schedule(101)
    (0.1, 0.1, 0.095)
    """
    if not 0 < decay <= 1 or every < 1:
        raise ConfigError(
            "SCHEDULE_INVALID", f"step schedule: decay {decay} must be in (0, 1], every {every} at least 1."
        )
    return lambda round: rate * decay ** ((round - 1) // every)


def cosine(rate: float, rounds: int, floor: float = 0.0) -> Schedule:
    """Return half a cosine from `rate` in round 1 down to `floor` in round `rounds`, and `floor` ever after.

    >>> schedule = cosine(0.2, rounds=101)
    >>> schedule(1), round(schedule(51), 6), schedule(1000)
    (0.2, 0.1, 0.0)
    """
    if rounds < 2:
        raise ConfigError("SCHEDULE_INVALID", f"cosine schedule: rounds {rounds} must be at least 2.")

    def schedule(round: int) -> float:
        done = min(1.0, (round - 1) / (rounds - 1))
        return floor + (rate - floor) * (1 + math.cos(math.pi * done)) / 2

    return schedule
