"""What the daemon did not accept: kept for who asks, told to who listens."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from titan.records import Refusal

KEPT = 1000  # the newest; the totals count them all
log = logging.getLogger("titan")


class Refusals:
    """Keeps the newest refusals.

    Args:
        listener: called for each.
    """

    def __init__(self, listener: Callable[[Refusal], object] | None) -> None:
        self._kept: deque[Refusal] = deque(maxlen=KEPT)
        self._listener = listener

    def note(self, news: Sequence[Refusal]) -> None:
        """Keep refusals and tell of them. A listener that fails is logged; the stream goes on."""
        self._kept.extend(news)
        if self._listener is None:
            return
        for refusal in news:
            try:
                self._listener(refusal)
            except Exception:
                log.exception("on_refusal failed")

    def newest(self) -> tuple[Refusal, ...]:
        """Return what is kept, oldest first."""
        return tuple(self._kept)
