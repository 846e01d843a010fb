"""What an app pushes, in any of its forms, as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from titan.batch import Batch
from titan.errors import InvalidSample
from titan.records import TensorSpec
from titan.tensors import label_number, listed, tensor

Moment = datetime | float
UNLABELLED = -1  # on the wire: the label comes later
NO_TIME = 2**63  # nanoseconds; the wire has room for less


def one(x: Any, label: Any, observe_time: Moment | None, input_spec: TensorSpec | None) -> Batch:
    """Return one sample as a batch of one.

    Args:
        x: an array, or bytes, which are taken to be what `input_spec` says.
        label: its class id; None if that comes later.
        observe_time: when it was observed: a datetime with a time zone, or seconds since the Unix epoch.
        input_spec: what the server expects.

    Raises:
        InvalidSample: it cannot be put on the wire.
    """
    if isinstance(x, (bytes, bytearray)) and input_spec is not None:
        spec, data = input_spec, memoryview(x)
    else:
        spec, data = tensor(x)
    if not data:
        raise InvalidSample("", "SAMPLE_EMPTY", "The sample has no bytes.", "Push at least one element.")
    times = () if observe_time is None else (nanoseconds(observe_time),)
    return Batch(0, spec, (_class_id(label),), times, data)


def many(xs: Any, labels: Any, observe_times: Iterable[Moment] | None, spec: TensorSpec | None) -> Iterator[Batch]:
    """Return samples as batches: one for an array [N, ...] or bytes, one each for a sequence of arrays.

    Raises:
        InvalidSample: they cannot be put on the wire, or are not as many as their labels.
    """
    given = None if labels is None else [_class_id(label) for label in listed(labels)]
    times = () if observe_times is None else tuple(nanoseconds(each) for each in observe_times)
    if isinstance(xs, (list, tuple)):
        for index, (x, label) in enumerate(zip(xs, _one_each(given, times, len(xs)), strict=True)):
            yield one(x, label, None, spec)._replace(observe_times_ns=times[index : index + 1])
        return
    if isinstance(xs, (bytes, bytearray)) and spec is not None:
        count, data = len(xs) / spec.size_bytes, memoryview(xs)
    else:
        stack, data = tensor(xs)
        count, spec = (stack.shape or (0,))[0], TensorSpec(stack.data_type, stack.shape[1:])
    numbers = _one_each(given, times, count)
    if numbers:
        yield Batch(0, spec, numbers, times, data)


def nanoseconds(moment: Moment) -> int:
    """Return a moment in nanoseconds since the Unix epoch, from 1677 to 2262.

    Raises:
        InvalidSample: it is no time, or has no time zone.

    >>> nanoseconds(1.5)
    1500000000
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InvalidSample(
                "", "TIME_WITHOUT_ZONE", f"{moment} has no time zone.", "Use datetime.now(timezone.utc)."
            )
        moment = moment.timestamp()
    try:
        found = int(moment * 1e9)
    except (TypeError, ValueError, OverflowError):
        found = NO_TIME
    if not -NO_TIME <= found < NO_TIME:
        raise InvalidSample(
            "",
            "TIME_INVALID",
            f"{moment!r} is no time between the years 1677 and 2262.",
            "Give seconds since the Unix epoch, or a datetime with its time zone.",
        )
    return found


def _class_id(label: Any) -> int:
    return UNLABELLED if label is None else label_number(label)


def _one_each(numbers: Sequence[int] | None, times: Sequence[int], count: float) -> Sequence[int]:
    """Return as many class ids as there are samples, and check that observe times are as many."""
    if numbers is None:
        numbers = [UNLABELLED] * int(count)
    for found, what in ((len(numbers), "labels"), (len(times) or count, "observe times")):
        if found != count:
            raise InvalidSample("", "COUNT_MISMATCH", f"{count:g} samples and {found} {what}.", "Give one each.")
    return numbers
