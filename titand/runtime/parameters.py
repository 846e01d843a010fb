"""The parameter board: the model's state as of the last completed round, in memory that outlives the trainer.

# Why two slots and no lock.
#
# Slot v % 2 holds version v. In round r the trainer copies version r - 1 into slot r % 2, trains there in place, and
# publishes version r by storing one number. It starts round r after it has received the batch of round r, and the
# selector sends that batch after it has finished with version r - 2, the last tenant of the slot. Meanwhile the
# selector may be reading version r - 1, which is in the other slot. So writer and reader never meet. What makes it
# true is the order in workers/trainer.py: receive, permit, train, publish. Do not reorder.
#
# A trainer that dies in mid-round leaves version r - 1 whole in the other slot: its successor goes on from there.
"""

from __future__ import annotations

import mmap
import os
import struct

_HEADER_BYTES = 4096
_HEAD = struct.Struct("<qqq")  # magic, slot size, version
_MAGIC = 0x5449_5450_4152_0001
_VERSION = 2  # its place among the header's int64


class ParameterBoard:
    """A process's view of the parameter board.

    The memory is made empty by the supervisor, which does not know the model. The trainer, which does, gives it its
    size; everybody else finds it there.

    Args:
        descriptor: memory made by `create_parameters`.
        slot_bytes: bytes of the model's flat state; None for the size that the memory has.

    Raises:
        ValueError: the memory was sized for another model, or not at all.
    """

    def __init__(self, descriptor: int, slot_bytes: int | None = None) -> None:
        if os.fstat(descriptor).st_size == 0 and slot_bytes is not None:
            os.ftruncate(descriptor, _HEADER_BYTES + 2 * _stride(slot_bytes))
            os.pwrite(descriptor, _HEAD.pack(_MAGIC, slot_bytes, -1), 0)
        magic, size, _ = _HEAD.unpack(os.pread(descriptor, _HEAD.size, 0) or bytes(_HEAD.size))
        if magic != _MAGIC or slot_bytes not in (None, size):
            raise ValueError(f"the parameter memory has slots of {size} bytes, not {slot_bytes}")
        self.slot_bytes: int = size
        self._memory = mmap.mmap(descriptor, _HEADER_BYTES + 2 * _stride(size))
        # Stored through a view, in one instruction: `struct` would first put zeros there, and zero is a version.
        self._head = memoryview(self._memory)[: _HEAD.size].cast("q")

    @property
    def version(self) -> int:
        """The version published last; -1 before the first."""
        return self._head[_VERSION]

    def slot(self, version: int) -> memoryview:
        """Return the [slot_bytes] writable bytes where a version lives."""
        start = _HEADER_BYTES + version % 2 * _stride(self.slot_bytes)
        return memoryview(self._memory)[start : start + self.slot_bytes]

    def publish(self, version: int) -> None:
        """Declare the contents of `slot(version)` complete."""
        self._head[_VERSION] = version


def _stride(slot_bytes: int) -> int:
    return (slot_bytes + 4095) // 4096 * 4096


def create_parameters() -> int:
    """Make the memory for a parameter board, still without a size, and return its descriptor."""
    return os.memfd_create("titand-parameters", os.MFD_CLOEXEC)
