"""Labels that come after their samples, as they go out: in portions, each with the numbers of its samples."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

from titan.errors import InvalidSample
from titan.tensors import label_numbers, listed

PORTION = 1000  # in one message: small beside what any daemon takes
NUMBER_LIMIT = 2**63


def portions(numbers: Iterable[Any], labels: Iterable[Any]) -> Iterator[tuple[list[int], list[int]]]:
    """Return sample numbers and class ids, some at a time.

    Raises:
        InvalidSample: they are not as many, or cannot be put on the wire; before anything is yielded.

    >>> list(portions([7, 9], [0, 1]))
    [([7, 9], [0, 1])]
    """
    samples, classes = [_number(each) for each in listed(numbers)], label_numbers(labels)
    if len(samples) != len(classes):
        raise InvalidSample(
            "", "COUNT_MISMATCH", f"{len(samples)} numbers and {len(classes)} labels.", "Give one label each."
        )
    starts = range(0, len(samples), PORTION)
    return ((samples[start : start + PORTION], classes[start : start + PORTION]) for start in starts)


def _number(value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if not 0 < number < NUMBER_LIMIT:
        raise InvalidSample(
            "", "NUMBER_INVALID", f"{value!r} is the number of no sample.",
            "Flush first: 'number_of' knows the samples that were accepted.",
        )  # fmt: skip
    return number
