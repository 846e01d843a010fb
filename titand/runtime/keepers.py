"""Whom the ledger tells of each change, for when all memory is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from titand.runtime.log_records import Buffer


class RecordLog(Protocol):
    """Where changes are written down before they are made; see `titand/front/sample_log.py`."""

    def append(self, sequence: int, parts: Sequence[Buffer], with_samples: bool) -> bool:
        """Take a record; False when there is no room. Small ones without samples find room when others do not."""


class Marks(Protocol):
    """What knows how far numbers were given when all this is gone; see `titand/front/high_water.py`."""

    def begin(self, counters: Sequence[int]) -> None:
        """Take over."""

    def allow(self, number: int) -> None:
        """See to it that numbers up to this one may be given."""

    def note(self, counters: Sequence[int]) -> None:
        """Take down what was counted."""

    def end(self, counters: Sequence[int]) -> None:
        """Give no more numbers."""
