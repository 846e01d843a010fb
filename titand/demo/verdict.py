"""Whether the demo showed what it promises. Pure: readings in, complaints out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from titan.records import PushTotals, Training


@dataclass(frozen=True)
class Outcome:
    """What the demo found.

    Attributes:
        training: the daemon's last word.
        totals: the client's count of the same samples.
        streamed_count: how many different samples those were.
        accuracy: of the exported model, loaded in another process, on samples that were never streamed.
        sample_count: how many those were.
        floor: the accuracy below which something must be broken.
        exit_status: of the daemon.
        left_behind: processes that outlived it.
    """

    training: Training
    totals: PushTotals
    streamed_count: int
    accuracy: float
    sample_count: int
    floor: float
    exit_status: int
    left_behind: tuple[str, ...]


def interval(accuracy: float, sample_count: int) -> float:
    """Return half the width of Wilson's 95 % interval for a share.

    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927): z / (1 + z^2/n) * sqrt(p (1 - p) / n + z^2 / (4 n^2)). Unlike the
    textbook's, it is not 0 when all n samples were named correctly.

    Example:
        >>> round(interval(0.5, 100), 3), round(interval(1.0, 100), 3)
        (0.096, 0.018)
    """
    z, n = 1.96, sample_count
    return z / (1 + z * z / n) * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))


def complaints(outcome: Outcome) -> list[str]:
    """Return everything that is not as promised, one sentence each; nothing when all is well."""
    training, totals = outcome.training, outcome.totals
    found = []
    if outcome.accuracy < outcome.floor:
        found.append(
            f"It did not learn: accuracy {outcome.accuracy:.3f} on {outcome.sample_count} unseen samples, "
            f"at least {outcome.floor:.3f} was expected."
        )
    found += _ledger_complaints(training, totals)
    found += _staleness_complaints(training)
    found += [f"{item.severity}: {item.message}" for item in training.health if item.severity == "error"]
    if outcome.exit_status != 0:
        found.append(f"The daemon ended with status {outcome.exit_status}.")
    if outcome.left_behind:
        found.append(f"Processes outlived the daemon: {', '.join(outcome.left_behind)}.")
    return found


def _ledger_complaints(training: Training, totals: PushTotals) -> list[str]:
    ledger = training.sample_ledger
    if ledger is None:
        return ["There is no ledger."]
    found = []
    if not ledger.is_balanced:
        found.append(f"The ledger does not balance: {ledger}.")
    if ledger.pushed_count != totals.pushed:
        found.append(f"{totals.pushed} samples were pushed, the ledger knows of {ledger.pushed_count}.")
    for name, count in (("rejected", totals.rejected), ("shed", totals.shed), ("lost", ledger.lost_count)):
        if count:
            found.append(f"{count} samples were {name}.")
    return found


def _staleness_complaints(training: Training) -> list[str]:
    """Every batch is scored one round before it is trained on; only the first has no round before it."""
    counts = training.selection.staleness_round_counts if training.selection else ()
    fresh, late = sum(counts[:1]), sum(counts[2:])
    if sum(counts) == 0:
        return ["No round was completed."]
    if fresh > 1 or late:
        return [f"The one-round delay was not kept: rounds by staleness {list(counts)}."]
    return []
