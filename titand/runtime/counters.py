"""The counters of the ledger: where they lie in the arena, and what they say together with the states."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from titand.runtime.arena import (
    CANDIDATE,
    EVICTED,
    EXPIRED,
    FILLED,
    FILTERED,
    HELD_OUT,
    INVALID,
    PENDING_LABEL,
    RELEASED,
    SELECTED,
    TRAINED,
    Arena,
)

# Places in the arena. Numbers are stored in checkpoints too: never reuse one.
PUSHED, SHED, REJECTED, ACCEPTED, LOST = 0, 1, 2, 3, 4  # and TRANSACTIONS, 5
ENDED_COUNTER = {FILTERED: 6, EVICTED: 7, TRAINED: 8, RELEASED: 9, INVALID: 10, EXPIRED: 11}
ORPHAN_LABELS = 12
LOGGED = 13  # sequence of the newest change that was written to the log of samples
REPLAYED = 14  # samples that came back out of the log since the daemon started
SETTLED = 15  # 1 once a front of this daemon has counted what came before its start: its successors find it here


@dataclass(frozen=True)
class LedgerCounts:
    """Where every sample has gone, by column of the ledger.

    Attributes:
        orphan_labels: labels that found no sample, and so are in no sum.
    """

    pushed: int
    shed: int
    rejected: int
    held_out: int
    filtered: int
    evicted: int
    pending_label: int
    buffered: int
    selected: int
    lost: int
    expired: int
    orphan_labels: int

    @property
    def is_balanced(self) -> bool:
        """Whether the columns add up to what was pushed."""
        pushed, *columns, _ = astuple(self)
        return bool(pushed == sum(columns))


def counts_of(arena: Arena) -> LedgerCounts:
    """Return the ledger; the caller sees to it that no transaction is under way."""
    state = bytes(arena.state)
    gone = arena.counters

    def ended(code: int) -> int:
        return int(gone[ENDED_COUNTER[code]]) + state.count(code)

    return LedgerCounts(
        pushed=gone[PUSHED],
        shed=gone[SHED],
        rejected=gone[REJECTED] + ended(INVALID),
        held_out=state.count(HELD_OUT) + ended(RELEASED),
        filtered=ended(FILTERED),
        evicted=ended(EVICTED),
        pending_label=state.count(PENDING_LABEL),
        buffered=state.count(FILLED) + state.count(CANDIDATE),
        selected=state.count(SELECTED) + ended(TRAINED),
        lost=gone[LOST],
        expired=ended(EXPIRED),
        orphan_labels=gone[ORPHAN_LABELS],
    )
