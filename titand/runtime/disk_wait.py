"""Waits for a disk that refuses at the start, and says so meanwhile: to systemd, on the board, to whoever asks."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from titand.clock import Clock
from titand.errors import StorageError
from titand.runtime.boards import Boards
from titand.runtime.children import Child
from titand.runtime.log import Log
from titand.runtime.systemd import Notifier
from titand.runtime.waiting import readable

PASSING = ("IO_ERROR", "DISK_FULL", "READ_ONLY", "TOO_MANY_FILES")  # may be over an hour later
STOP_SECONDS = 5.0  # of the front that answers meanwhile

Begun = TypeVar("Begun")


class DiskWait:
    """Tries again for ever what the disk refuses: systemd gives up whoever ends and ends.

    Args:
        delays_seconds: after the first, second, ... refusal; then the last.
        facts: what the board says besides: version, state folder, process.
        boards: where the front that answers meanwhile reads why.
        notifier: systemd.
        clock: stamps.
        log: lines for people.
    """

    def __init__(
        self,
        delays_seconds: Sequence[float],
        facts: Mapping[str, Any],
        boards: Boards,
        notifier: Notifier,
        clock: Clock,
        log: Log,
    ) -> None:
        self._delays_seconds = delays_seconds
        self._facts = dict(facts)
        self._boards = boards
        self._notifier = notifier
        self._clock = clock
        self._log = log

    def until_it_lets(self, begin: Callable[[], Begun], front: Child | None = None) -> Begun:
        """Begin, as often as it takes; return what was begun.

        Args:
            begin: may be called again when it was refused.
            front: started at the first refusal, ended before this returns; None where it has nowhere to listen yet.

        Raises:
            StorageError: begin was refused what it will be refused an hour later too.
        """
        since_ns = self._clock.wall_ns()
        for count in itertools.count():
            try:
                begun = begin()
                break
            except StorageError as error:
                if error.reason not in PASSING:
                    raise
                delay_seconds = self._delays_seconds[min(count, len(self._delays_seconds) - 1)]
                self._say(error, delay_seconds, since_ns)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to be ended in order
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nor to be read again
            for _ in range(int(delay_seconds)):
                self._notifier.alive()
                if front is not None:
                    front.poll()
                    front.start_if_due()
                readable([], 1.0)
        if front is not None:
            front.signal(signal.SIGTERM)
            front.wait(STOP_SECONDS)
        return begun

    def _say(self, error: StorageError, delay_seconds: float, since_ns: int) -> None:
        self._log.error("cannot start yet", reason=error.reason, message=str(error), again_in_seconds=delay_seconds)
        self._notifier.ready()
        self._notifier.status(f"failed: {error} Tried again after {delay_seconds:g} s.")
        reason, text = "STATE_UNREADABLE", f"The disk refuses the state: {error} It is tried again by itself."
        self._boards.write(
            "supervisor",
            {
                **self._facts,
                "state": "blocked",
                "state_reason": reason,
                "state_message": text,
                "state_since_ns": since_ns,
                "health": [{"code": reason, "severity": "error", "message": text, "since_ns": since_ns}],
            },
        )
