"""The arena as bytes, for a checkpoint: the ledger always, what waits there where it is to outlive everything.

Taken by the trainer while the front may be writing: the front counts its transactions, and an image is taken again
until no transaction fell into it, so that counters and states belong to the same moment. The samples themselves are
copied after that; one that has come to its end meanwhile, and made room for another, is in the image as what it became.
"""

from __future__ import annotations

import json
import struct
import time
from typing import Any

from titand.errors import WorkerDown
from titand.runtime.arena import (
    CANDIDATE,
    FATE_COUNT,
    FILLED,
    FREE,
    HELD_OUT,
    PENDING_LABEL,
    RELEASED,
    SELECTED,
    TRAINED,
    Arena,
)
from titand.runtime.counters import ENDED_COUNTER, LOGGED, LOST, REPLAYED, SETTLED
from titand.runtime.journal import TRANSACTIONS

_LENGTH = struct.Struct("<I")
_COLUMNS = ("number", "label", "round", "observed_ns", "accepted_ns")
_LIVE = (FILLED, CANDIDATE, SELECTED, HELD_OUT, PENDING_LABEL)
_ATTEMPTS = 1000
_PAUSE_SECONDS = 1e-4


def image_of(arena: Arena, with_samples: bool) -> bytes:
    """Return the ledger, the streams' positions and the slots; with `with_samples` also what waits in them.

    Raises:
        WorkerDown: ARENA_NOT_STILL, the front died in a transaction, which its successor will finish.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_SECONDS)  # the front may have been preempted in the middle
        before = arena.counters[TRANSACTIONS]
        if arena.journal[0]:
            continue
        # As bytes, eight times as fast as numbers: a busy front pauses for less than a millisecond.
        counters, streams, state = list(arena.counters), bytes(arena.streams), bytes(arena.state)
        raw = {name: getattr(arena, name).tobytes() for name in _COLUMNS}
        if arena.counters[TRANSACTIONS] == before and not arena.journal[0]:
            break
    else:
        raise WorkerDown(
            "ARENA_NOT_STILL", "The front is in the middle of a transaction, or died there.", "It is tried again later."
        )
    columns = {name: memoryview(raw[name]).cast(getattr(arena, name).format) for name in _COLUMNS}
    live = [slot for slot, code in enumerate(state) if code in _LIVE]
    ended = {code: state.count(code) for code in ENDED_COUNTER}
    samples = []
    if with_samples:
        samples = [bytes(arena.sample(slot)) for slot in live]
        for place in reversed(range(len(live))):
            number = columns["number"][live[place]]
            if arena.state[live[place]] == FREE or arena.number[live[place]] != number:
                ended[_fate(arena, number, state[live[place]])] += 1
                del live[place], samples[place]
    head = {
        "counters": counters,
        "ended": {str(code): count for code, count in ended.items()},
        "live": [[state[slot], *(columns[name][slot] for name in _COLUMNS)] for slot in live],
        "with_samples": with_samples,
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join([_LENGTH.pack(len(text)), text, streams, *samples])


def _fate(arena: Arena, number: int, state: int) -> int:
    """Return how a sample ended that was in this state a moment ago."""
    if state == HELD_OUT:
        return RELEASED
    return int(arena.fates[number % FATE_COUNT])


def logged_in(image: bytes) -> int:
    """Return the sequence of the newest record of the log of samples that an image has in it."""
    return int(_head_of(image)["counters"][LOGGED])


def _head_of(image: bytes) -> dict[str, Any]:
    (length,) = _LENGTH.unpack_from(image)
    head: dict[str, Any] = json.loads(image[_LENGTH.size : _LENGTH.size + length])
    return head


def restore_image(arena: Arena, image: bytes, completed_round: int, round_in_hand: int = 0) -> int:
    """Put an image into a new arena; return how many samples are still to be worked up.

    What was selected for a round is filtered anew, unless it was completed, or its batch is in the trainer's hand.

    Samples that the image does not hold, because the daemon died, are counted as lost; held-out ones as released.

    Raises:
        ValueError: its samples are of another size; the arena is as it was.
    """
    (length,) = _LENGTH.unpack_from(image)
    head = _head_of(image)
    streams = _LENGTH.size + length
    offset = streams + len(arena.streams)
    size = arena.layout.sample_bytes
    held = len(head["live"]) * size if head["with_samples"] else 0
    if len(image) != offset + held:
        raise ValueError(f"{len(image) - offset} bytes of samples, expected {held}")
    arena.streams[:] = image[streams:offset]
    counters = head["counters"]
    counters[REPLAYED] = counters[SETTLED] = 0  # what came back, and was counted, at an earlier start
    for code, count in head["ended"].items():
        counters[ENDED_COUNTER[int(code)]] += count
    free = iter(range(arena.layout.slot_count))
    waiting = 0
    for state, *values in head["live"]:
        row = dict(zip(_COLUMNS, values, strict=True))
        if state == SELECTED and row["round"] <= completed_round:
            counters[ENDED_COUNTER[TRAINED]] += 1
        elif not head["with_samples"] or (slot := next(free, None)) is None:
            counters[ENDED_COUNTER[RELEASED] if state == HELD_OUT else LOST] += 1
        else:
            for name, value in row.items():
                getattr(arena, name)[slot] = value
            arena.data[slot * size : (slot + 1) * size] = image[offset : offset + size]
            is_again = state == SELECTED and row["round"] != round_in_hand
            arena.state[slot] = FILLED if is_again else state
            waiting += state not in (HELD_OUT, PENDING_LABEL)
        if head["with_samples"]:
            offset += size
    arena.counters[:] = memoryview(struct.pack(f"{len(counters)}q", *counters)).cast("q")
    return waiting
