"""The shared memories and channels of a daemon, as descriptors that are inherited by number."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Descriptors:
    """What a process is given; -1 where it is given none.

    Attributes:
        config: memory with the configuration as JSON.
        boards: report boards.
        arena: the sample arena.
        filled: eventfd, front to selector.
        parameters: the parameter board.
        memory: the selector's state, for its successor and for checkpoints.
        supervisor: this process's channel to the supervisor.
        trainer: channel between the front and the trainer; the front's end or the trainer's.
        selector: channel between the front and the selector, likewise.
    """

    config: int = -1
    boards: int = -1
    arena: int = -1
    filled: int = -1
    parameters: int = -1
    memory: int = -1
    supervisor: int = -1
    trainer: int = -1
    selector: int = -1

    def to_argument(self) -> str:
        """Return a command-line argument."""
        return json.dumps({name: number for name, number in asdict(self).items() if number >= 0})

    @staticmethod
    def from_argument(text: str) -> Descriptors:
        """Return what `to_argument` wrote."""
        return Descriptors(**json.loads(text))

    def all(self) -> tuple[int, ...]:
        """Return the numbers, to be inherited."""
        return tuple(number for number in asdict(self).values() if number >= 0)


def create_text(text: str) -> int:
    """Return a descriptor of a memory that holds a text, to be read from the start by anyone."""
    descriptor = os.memfd_create("titand-config", os.MFD_CLOEXEC)
    os.pwrite(descriptor, text.encode(), 0)
    return descriptor


def read_text(descriptor: int) -> str:
    """Return the text of such a memory."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()
