"""What one run is, in full: two runs of equal settings give the same curve, bit for bit, on the same machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        task: a name of `tasks.TASKS`.
        method: a name of `methods.METHODS`.
        rate: learning rate of the first round.
        seed: of parameters, stream, label noise and every draw; methods of equal seed see the same stream.
        rounds: R.
        window: samples that arrive in a round, n.
        batch: samples that are trained on in a round, B.
        candidates: what the coarse filter leaves of a window, C; whole-window methods ignore it.
        beta: exponent of the sample weights, 1 unbiased to 0 plain average.
        least: importance below this share of the mean counts as this share; of C-IS.
        rule: what sets beta during the run, a name of `rules.RULES`; "" for a constant.
        rate_rule: what raises the rate with the gain, likewise.
        decay: factor of the step schedule.
        decay_rounds: rounds between two steps of it.
        noise: share of training labels that are replaced by another class.
        imbalance: how many times rarer the last class is than the first; 1 leaves the data as they are.
        stream: order of arrivals, a name of `stream.ORDERS`.
        replay: samples of a reservoir that join each window, as a share of it.
        delay: whether a batch is scored one round before it is trained on.
        depth: blocks that the filter's feature comes out of; 1 is the first block alone, as in the service.
        momentum: of the optimizer.
        full: true widths and the whole test set.
        evaluate_every: rounds between two points of the curve.
    """

    task: str
    method: str
    rate: float
    seed: int
    rounds: int
    window: int = 100
    batch: int = 10
    candidates: int = 30
    beta: float = 1.0
    least: float = 1e-6
    rule: str = ""
    rate_rule: str = ""
    decay: float = 0.95
    decay_rounds: int = 100
    noise: float = 0.0
    imbalance: float = 1.0
    stream: str = "shuffled"
    replay: float = 0.0
    delay: bool = True
    depth: int = 1
    momentum: float = 0.0
    full: bool = False
    evaluate_every: int = 25

    def plain(self) -> dict[str, Any]:
        """Return what differs from the defaults; so a setting that is added later changes no earlier run.

        >>> Settings("digits", "rs", 0.1, 0, 200, noise=0.2).plain()
        {'task': 'digits', 'method': 'rs', 'rate': 0.1, 'seed': 0, 'rounds': 200, 'noise': 0.2}
        """
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }

    @property
    def key(self) -> str:
        """A text that is equal for equal settings only."""
        return json.dumps(self.plain(), sort_keys=True)

    def but(self, **changes: Any) -> Settings:
        """Return these settings with some changed."""
        return dataclasses.replace(self, **changes)


def settings_of(plain: Mapping[str, Any]) -> Settings:
    """Return what `Settings.plain` was made from."""
    return Settings(**plain)
