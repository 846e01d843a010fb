"""What an app pushes, in any of its forms, as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from titan.batch import Batch
from titan.errors import InvalidSample
from titan.records import TensorSpec
from titan.tensors import label_number, label_numbers, tensor

Moment = datetime | float


def one(x: Any, label: Any, observe_time: Moment | None, input_spec: TensorSpec | None) -> Batch:
    """Return one sample as a batch of one.

    Args:
        x: an array, or bytes, which are taken to be what `input_spec` says.
        label: its class id.
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
    return Batch(0, spec, (label_number(label),), times, data)


def many(xs: Any, labels: Any, observe_times: Iterable[Moment] | None, spec: TensorSpec | None) -> Iterator[Batch]:
    """Return samples as batches: one for an array [N, ...] or bytes, one each for a sequence of arrays.

    Raises:
        InvalidSample: they cannot be put on the wire, or are not as many as their labels.
    """
    numbers = label_numbers(labels)
    times = () if observe_times is None else tuple(nanoseconds(each) for each in observe_times)
    if times and len(times) != len(numbers):
        raise _count_mismatch(len(times), "observe times", len(numbers))
    if isinstance(xs, (list, tuple)):
        if len(xs) != len(numbers):
            raise _count_mismatch(len(xs), "samples", len(numbers))
        for index, (x, number) in enumerate(zip(xs, numbers, strict=True)):
            yield one(x, number, None, spec)._replace(observe_times_ns=times[index : index + 1])
        return
    if isinstance(xs, (bytes, bytearray)) and spec is not None:
        count, rest = divmod(len(xs), spec.size_bytes)
        if rest:
            raise _count_mismatch(len(xs) / spec.size_bytes, f"samples of {spec.size_bytes} bytes", len(numbers))
        data = memoryview(xs)
    else:
        stack, data = tensor(xs)
        count, spec = (stack.shape or (0,))[0], TensorSpec(stack.data_type, stack.shape[1:])
    if count != len(numbers):
        raise _count_mismatch(count, "samples", len(numbers))
    if count:
        yield Batch(0, spec, numbers, times, data)


def nanoseconds(moment: Moment) -> int:
    """Return a moment in nanoseconds since the Unix epoch.

    >>> nanoseconds(1.5)
    1500000000
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InvalidSample(
                "", "TIME_WITHOUT_ZONE", f"{moment} has no time zone.", "Use datetime.now(timezone.utc)."
            )
        moment = moment.timestamp()
    return int(moment * 1e9)


def _count_mismatch(count: float, what: str, label_count: int) -> InvalidSample:
    return InvalidSample("", "COUNT_MISMATCH", f"{count:g} {what} and {label_count} labels.", "Give one label each.")
