"""Arenas that hold no descriptor: the suite has thousands of them in one process."""

import os

from titand.runtime.arena import Arena, ArenaLayout, create_arena


def new_arena(slot_count: int, sample_bytes: int) -> Arena:
    """Return a new arena that is this process's alone."""
    descriptor = create_arena(ArenaLayout(slot_count, sample_bytes))
    try:
        return Arena(descriptor)
    finally:
        os.close(descriptor)  # the mapping stays
