"""What the demo prints: one line for each look at the training, and the account at the end."""

from __future__ import annotations

from titan.records import SampleLedger, Training

HEADER = f"{'time':>6} {'round':>6} {'loss':>7} {'held-out accuracy':>18} {'variance gain':>14} {'samples':>9}  state"


def number(value: float | None, form: str, suffix: str = "") -> str:
    """Return a number, or a dash where there is none: unknown is never 0.

    Example:
        >>> number(0.5, ".2f", " x"), number(None, ".2f")
        ('0.50 x', '-')
    """
    return "-" if value is None else f"{value:{form}}{suffix}"


def with_margin(value: float | None, margin: float | None, form: str) -> str:
    """Return a number with half the width of its interval.

    Example:
        >>> with_margin(0.91, 0.034, ".2f"), with_margin(0.91, None, ".2f"), with_margin(None, None, ".2f")
        ('0.91 +- 0.03', '0.91', '-')
    """
    return number(value, form) + (f" +- {margin:{form}}" if value is not None and margin is not None else "")


def progress(seconds: float, training: Training) -> str:
    """Return one line under `HEADER`."""
    last, evaluation, selection, ledger = (
        training.last_round,
        training.evaluation,
        training.selection,
        training.sample_ledger,
    )
    accuracy = with_margin(
        evaluation.accuracy if evaluation else None, evaluation.accuracy_margin if evaluation else None, ".2f"
    )
    gain = number(selection.variance_ratio_mean if selection else None, ".2f", " x")
    return (
        f"{seconds:5.0f}s {training.round_count:6} {number(last.loss if last else None, '.3f'):>7} {accuracy:>18} "
        f"{gain:>14} {ledger.pushed_count if ledger else 0:9,}  {training.state}"
    )


def gain(training: Training) -> str:
    """Say whether choosing pays, by the measured variance of the batch gradient."""
    selection = training.selection
    mean = selection.variance_ratio_mean if selection else None
    if selection is None or mean is None:
        return "Whether choosing pays was not measured: no round had a variance to compare."
    margin = selection.variance_ratio_margin
    pays = "pays" if mean - (margin or 0.0) > 1.0 else "does not pay here"
    return (
        f"Choosing {pays}: the gradient of a random batch has {with_margin(mean, margin, '.2f')} times the variance of "
        f"the chosen one's, unbiased ({selection.variance_ratio_rounds} rounds)."
    )


def account(ledger: SampleLedger) -> list[str]:
    """Return where every sample has gone, the sum last."""
    rows = [
        ("trained on, or next", ledger.selected_count),
        ("turned away by the filter", ledger.filtered_count),
        ("candidate, not chosen", ledger.evicted_count),
        ("held out for judging", ledger.held_out_count),
        ("waiting", ledger.buffered_count),
        ("rejected", ledger.rejected_count),
        ("shed", ledger.shed_count),
        ("lost", ledger.lost_count),
        ("waiting for a label", ledger.pending_label_count),
        ("whose label did not come", ledger.expired_count),
    ]
    lines = [f"  {count:12,}  {name}" for name, count in rows if count]
    balance = "the sum of the above" if ledger.is_balanced else "NOT the sum of the above"
    return [*lines, f"  {ledger.pushed_count:12,}  pushed: {balance}"]
