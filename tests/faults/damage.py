"""What may become of a file's bytes on a medium: one way each of being no longer what was written."""

from __future__ import annotations

import random
from collections.abc import Iterator

PAGE_BYTES = 4096


def flipped(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """One bit is another."""
    changed = bytearray(contents)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def cut_off(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """It ends early, perhaps before it begins."""
    return contents[: dice.randrange(len(contents))]


def zeroed(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """A page was never written."""
    start = _page(contents, dice)
    page = contents[start : start + PAGE_BYTES]
    return contents[:start] + bytes(len(page)) + contents[start + len(page) :]


def swapped(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """Two parts of equal length, pages at most, stand in each other's place."""
    length = min(PAGE_BYTES, len(contents) // 2)
    first, second = sorted(dice.sample(range(0, len(contents) - length + 1, length), 2))
    parts = contents[:first], contents[first : first + length], contents[first + length : second]
    return parts[0] + contents[second : second + length] + parts[2] + parts[1] + contents[second + length :]


def mixed(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """A page is that of the file that lay there before."""
    start = _page(contents, dice)
    return contents[:start] + older[start : start + PAGE_BYTES] + contents[start + PAGE_BYTES :]


def followed(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """Something else comes after it."""
    return contents + dice.randbytes(dice.randint(1, PAGE_BYTES))


def repeated(contents: bytes, older: bytes, dice: random.Random) -> bytes:
    """A byte stands there twice, and all after it is shifted."""
    place = dice.randrange(len(contents))
    return contents[:place] + contents[place : place + 1] + contents[place:]


WAYS = (flipped, cut_off, zeroed, swapped, mixed, followed, repeated)


def damaged(contents: bytes, older: bytes, count: int, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield so many damaged versions of a file, each way by turns, and the name of the way."""
    made = 0
    while made < count:
        way = WAYS[made % len(WAYS)]
        if (version := way(contents, older, dice)) != contents:
            made += 1
            yield way.__name__.replace("_", " "), version


def _page(contents: bytes, dice: random.Random) -> int:
    return dice.randrange(0, len(contents), PAGE_BYTES)
