"""The power goes, at any moment of writing checkpoints, snapshots and the log of samples to a real ext4."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disks import mounted
from tests.faults.power_cuts import RecordedDisk
from tests.faults.stores import Bundles, Found, InPlace, NameNotSynced, NothingSynced, Ring, Snapshots, Store

KINDS = (Bundles, Snapshots, Ring)
TEARS = (4096, 512)
PUTS = 24
SIZE_BYTES = 60_000


class Recording:
    """A workload on a disk, and what each store had acknowledged when so many requests had reached the medium."""

    def __init__(self, folder: Path, kinds: tuple[type[Store], ...], puts: int = PUTS) -> None:
        self.kinds = kinds
        self.acknowledged: list[tuple[int, type[Store], int]] = []
        with RecordedDisk(folder) as disk:
            stores = [self.open(kind, disk.folder, make=True) for kind in kinds]
            for number in range(1, puts + 1):
                for store in stores:
                    store.put(number)
                    self.acknowledged.append((disk.position, type(store), number))
            self.requests = disk.requests()
            for store in stores:
                store.close()
        self.disk = disk
        self.last_number = puts

    def open(self, kind: type[Store], disk: Path, make: bool = False) -> Store:
        """Return a store on a disk."""
        folder = disk / kind.__name__
        if make:
            folder.mkdir()
        return kind(folder, SIZE_BYTES)

    def promised(self, kind: type[Store], position: int) -> int:
        """Return what a store had acknowledged at a position."""
        return max((n for place, each, n in self.acknowledged if each is kind and place <= position), default=0)

    def wrongs(self, states: int, seed: int) -> Iterator[str]:
        """Cut the power so many times, at both tear sizes by turns; yield what is not as promised afterwards."""
        dice = random.Random(seed)
        first = self.acknowledged[len(self.kinds) - 1][0]  # each store has something to lose
        for state in range(states):
            position = dice.randint(first, len(self.requests))
            tear = TEARS[state % len(TEARS)]
            image = self.disk.cut(self.requests, position, tear, dice)
            try:
                with mounted(image, self.disk.folder) as disk:
                    for kind in self.kinds:
                        for wrong in self._wrongs(self.open(kind, disk), self.promised(kind, position)):
                            yield f"cut after {position}, tear {tear}: {kind.__name__}: {wrong}"
            except OSError as error:
                yield f"cut after {position}, tear {tear}: {error}"

    def _wrongs(self, store: Store, promised: int) -> Iterator[str]:
        try:
            found = store.get()
        except Exception as error:
            yield f"{promised} was promised, and {error!r}"
            return
        if found.number < promised:
            yield f"{promised} was promised, {found.number} was found"
        if found.damaged:
            yield f"{found.damaged} are damaged"
        store.put(self.last_number + 1)
        store.close()
        if store.get() != Found(self.last_number + 1):
            yield "it takes nothing new"


@pytest.fixture(scope="module")
def recording(memory):
    """The stores of titand, by turns on one disk."""
    return Recording(memory, KINDS)


def test_a_power_cut_costs_nothing_that_was_acknowledged_and_leaves_nothing_damaged(recording, tally):
    states = 60
    assert list(recording.wrongs(states, seed=1)) == []
    tally["power cuts, checkpoints, snapshots and the log of samples on ext4"] += states


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_power_cuts_cost_nothing_that_was_acknowledged(recording, tally, seed):
    states = 200
    assert list(recording.wrongs(states, seed=100 + seed)) == []
    tally["power cuts, checkpoints, snapshots and the log of samples on ext4"] += states


@pytest.mark.parametrize(
    ("kind", "words"),
    [(InPlace, "are damaged"), (NameNotSynced, "was found"), (NothingSynced, "was found")],
)
def test_a_store_that_leaves_out_a_step_is_found_out(tmp_path, kind, words):
    assert any(words in wrong for wrong in Recording(tmp_path, (kind,)).wrongs(100, seed=1))
