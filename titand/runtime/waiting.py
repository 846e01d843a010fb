"""Waiting for descriptors."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], timeout_seconds: float | None = None) -> set[int]:
    """Return which descriptors can be read or are at their end, empty when none was in time.

    Unlike `select.select` it takes descriptors above 1023, which a front with many connections has.

    Args:
        descriptors: of pipes, sockets, processes.
        timeout_seconds: None waits for ever.

    Raises:
        OSError: a descriptor is closed.

    >>> import os
    >>> reading, writing = os.pipe()
    >>> readable([reading], 0), os.write(writing, b"x"), readable([reading]) == {reading}
    (set(), 1, True)
    >>> os.close(reading); os.close(writing)
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    timeout_ms = None if timeout_seconds is None else math.ceil(max(0.0, timeout_seconds) * 1000)
    found = poll.poll(timeout_ms)
    for descriptor, event in found:
        if event & select.POLLNVAL:
            raise OSError(f"descriptor {descriptor} is closed")
    return {descriptor for descriptor, _ in found}
