"""Labels that come after their samples: joined to those that wait for one, corrected where a sample has one already.

A sample that waits belongs to the front, which joins the label itself. Any other that is still here belongs to the
selector; so the front asks it, and it answers between two steps of its own: nothing is ever read half corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from titan.v1 import sample_service_pb2 as samples_pb
from titand.clock import Clock
from titand.errors import InvalidRequest, Overloaded, WorkerDown
from titand.runtime.arena import CANDIDATE, FILLED, HELD_OUT
from titand.runtime.channels import Asker
from titand.runtime.ledger import Ledger, Place

MOST_LABELS = 65_536  # in one request
ANSWER_SECONDS = 2.0  # for all corrections of a request; where the selector starts, that does not suffice
PORTION = 1000  # corrections in one question: a message of some 30 kB

Outcome = samples_pb.LabelSamplesResponse.Outcome
_Response = samples_pb.LabelSamplesResponse
_ANSWERS = {
    "corrected": _Response.OUTCOME_CORRECTED,
    "unchanged": _Response.OUTCOME_UNCHANGED,
    "too_late": _Response.OUTCOME_TOO_LATE,
}
_ORPHANED = (_Response.OUTCOME_TOO_LATE, _Response.OUTCOME_UNKNOWN)


class Labelling:
    """Puts labels where they belong. Thread-safe.

    Args:
        ledger: joins, and counts the labels that find no sample.
        selector: corrects.
        class_count: labels are below it.
        clock: measures how long the selector takes.
    """

    def __init__(self, ledger: Ledger, selector: Asker, class_count: int, clock: Clock) -> None:
        self._ledger = ledger
        self._selector = selector
        self._class_count = class_count
        self._clock = clock

    def label(self, numbers: Sequence[int], labels: Sequence[int]) -> list[Outcome]:
        """Label samples, and return what became of each label, in order.

        Raises:
            InvalidRequest: TOO_MANY_LABELS, LABELS_MISMATCHED; nothing was done.
            Overloaded: LOG_FULL; nothing was done.
        """
        _require_columns(numbers, labels)
        outcomes: list[Outcome] = [_Response.OUTCOME_REJECTED] * len(labels)
        sound = [place for place, label in enumerate(labels) if 0 <= label < self._class_count]
        joined = self._ledger.join([numbers[place] for place in sound], [labels[place] for place in sound])
        others = []
        for place, is_joined in zip(sound, joined, strict=True):
            if is_joined:
                outcomes[place] = _Response.OUTCOME_JOINED
            else:
                others.append((place, numbers[place], labels[place]))
        for place, outcome in self._correct(others):
            outcomes[place] = outcome
        if orphans := sum(map(outcomes.count, _ORPHANED)):
            self._ledger.count_orphans(orphans)
        return outcomes

    def _correct(self, wanted: list[tuple[int, int, int]]) -> Iterator[tuple[int, Outcome]]:
        """Yield what became of the labels (place in the request, number, label) of samples that did not wait."""
        newest = self._ledger.newest_number()
        here = self._ledger.places(number for _, number, _ in wanted) if wanted else {}
        reachable: list[tuple[int, list[int]]] = []
        for place, number, label in wanted:
            found = here.get(number)
            if found is not None and found.state in (FILLED, CANDIDATE, HELD_OUT):
                reachable.append((place, [found.slot, number, label]))
            else:
                yield place, _beyond_reach(found, label, 0 < number <= newest)
        answers = self._ask([correction for _, correction in reachable])
        for (place, _), outcome in zip(reachable, answers, strict=True):
            yield place, outcome

    def _ask(self, corrections: list[list[int]]) -> list[Outcome]:
        deadline = self._clock.monotonic_ns() + int(ANSWER_SECONDS * 1e9)
        outcomes: list[Outcome] = []
        try:
            for start in range(0, len(corrections), PORTION):
                left = (deadline - self._clock.monotonic_ns()) / 1e9
                portion = corrections[start : start + PORTION]
                outcomes += map(_ANSWERS.__getitem__, self._answers(portion, left))
        except (WorkerDown, Overloaded):  # nobody answers, or what was answered cannot be kept: to be sent again
            pass
        return outcomes + [_Response.OUTCOME_UNANSWERED] * (len(corrections) - len(outcomes))

    def _answers(self, portion: list[list[int]], seconds: float) -> list[str]:
        answers: list[str] = self._selector.ask("correct", seconds, corrections=portion)["outcomes"]
        # Also what is as it should be: a question whose answer we did not wait for may have made it so.
        told = zip(portion, answers, strict=True)
        self._ledger.note_corrections([(number, label) for (_, number, label), answer in told if answer != "too_late"])
        return answers


def _beyond_reach(found: Place | None, label: int, was_given: bool) -> Outcome:
    if found is not None and found.label == label:
        return _Response.OUTCOME_UNCHANGED
    return _Response.OUTCOME_TOO_LATE if was_given else _Response.OUTCOME_UNKNOWN


def _require_columns(numbers: Sequence[int], labels: Sequence[int]) -> None:
    if len(numbers) != len(labels):
        raise InvalidRequest(
            "LABELS_MISMATCHED", f"{len(numbers)} numbers came with {len(labels)} labels.", "Send one label per number."
        )
    if len(numbers) > MOST_LABELS:
        raise InvalidRequest(
            "TOO_MANY_LABELS",
            f"{len(numbers)} labels came at once; {MOST_LABELS} are taken.",
            "Send them in several requests.",
            {"limit": str(MOST_LABELS)},
        )
