"""A kill, and an error, at every system call of saving and of loading."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.crash_points import Outcome, Point, Victim
from tests.faults.stores import Bundles, Found, InPlace, OneFile, PlainWrite, Ring, Snapshots, Store
from tests.faults.victim import DONE, REFUSED

KILL = Point("", 0)
EIO = Point("", 0, "EIO")
LIE = Point("", 0, "lie")
ALL = [KILL, *(Point("", 0, what, good) for what in ("EIO", "ENOSPC", "EROFS", "EMFILE") for good in (False, True))]
STORES = pytest.mark.parametrize("kind", [Bundles, Snapshots, Ring], ids=lambda kind: kind.__name__.lower())
OLD, NEW = 2, 3
SIZE_BYTES = 30_000  # more than Python gathers before it calls write


class Bench:
    """A victim, and folders with two numbers in them to hurt it on."""

    def __init__(self, victim: Victim, folder: Path) -> None:
        self.victim = victim
        self._folder = folder
        self._sound = folder / "sound"
        self._count = 0
        self._sound.mkdir()
        for number in (1, OLD):
            with contextlib.closing(victim.open(self._sound)) as store:
                store.put(number)

    def fresh(self, source: Path | None = None) -> Path:
        """Return a new folder with the two numbers in it, or with what is in another folder."""
        self._count += 1
        return Path(shutil.copytree(source or self._sound, self._folder / str(self._count)))

    def crashed(self) -> Iterator[Path]:
        """Yield a folder for each different thing that a kill while saving can leave."""
        seen = set()
        for point in self.victim.points("put", NEW, self.fresh(), KILL):
            folder = self.fresh()
            self.victim.do("put", NEW, folder, point)
            if (left := frozenset(contents(folder).items())) not in seen:
                seen.add(left)
                yield folder


@pytest.fixture
def bench(memory):
    """Make a bench for a store."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))
        yield lambda kind: Bench(stack.enter_context(Victim(kind, folder, SIZE_BYTES)), folder)


def none(wrong: list[str]) -> bool:
    """Whether nothing is wrong; shows what is, a line each."""
    print(*wrong, sep="\n")
    return not wrong


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder and below, and what it holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wrongs(outcome: Outcome, store: Store) -> list[str]:
    """What is not as promised, after the new number was put over the old one."""
    found = store.get()
    wrong = []
    if not outcome.acknowledged and outcome.status not in (REFUSED, -9):
        wrong.append(f"ended with {outcome.status}")
    if found.number not in ((NEW,) if outcome.acknowledged else (OLD, NEW)):
        wrong.append(f"{found.number} was found, and {NEW} {'' if outcome.acknowledged else 'not '}acknowledged")
    if OLD not in store.kept():
        wrong.append(f"{OLD} is gone, to fall back to")
    return wrong + [f"{name} is damaged" for name in found.damaged]


def save_under_faults(bench: Bench, tally, kinds: list[Point], start: Path | None = None) -> list[str]:
    """Put a number under each fault at each step; return what was wrong afterwards, and where."""
    wrong = []
    store = bench.victim.store.__name__
    for point in bench.victim.points("put", NEW, bench.fresh(start), *kinds):
        folder = bench.fresh(start)
        outcome = bench.victim.do("put", NEW, folder, point)
        sound = bench.victim.open(folder)
        after = wrongs(outcome, sound)
        sound.put(NEW + 1)  # the fault is over, and nobody has mended anything
        if (then := sound.get()) != Found(NEW + 1):
            after.append(f"{then} was found after the next was put")
        sound.close()
        after += [f"{name} is left over" for name in contents(folder) if ".partial" in name]
        wrong += [f"{point}: {each}" for each in after]
        tally[f"{point.kind}, saving {store}"] += 1
        shutil.rmtree(folder)
    return wrong


def load_under_faults(bench: Bench, tally, kinds: list[Point], start: Path | None = None) -> list[str]:
    """Get what is there under each fault at each step; return what was wrong then or afterwards, and where."""
    wrong = []
    store = bench.victim.store.__name__
    start = start or bench.fresh()
    sound = bench.victim.open(bench.fresh(start))
    newest, kept = sound.get().number, {0, *sound.kept()}
    before = sound.evidence()
    for point in bench.victim.points("get", 0, bench.fresh(start), *kinds):
        folder = bench.fresh(start)
        outcome = bench.victim.do("get", 0, folder, point)
        after = []
        if outcome.status not in (DONE, REFUSED, -9):
            after.append(f"ended with {outcome.status}")
        if outcome.found and outcome.found.number != newest and not outcome.found.damaged:
            after.append(f"an older one was loaded without a word: {outcome.found}")
        if bench.victim.open(folder).evidence() != before:
            after.append("something was changed or deleted")
        if (then := bench.victim.open(folder).get()).number not in kept:
            after.append(f"{then} was found afterwards")
        wrong += [f"{point}: {each}" for each in after]
        tally[f"{point.kind}, loading {store}"] += 1
        shutil.rmtree(folder)
    return wrong


@STORES
def test_a_kill_or_an_error_at_any_step_of_saving_leaves_the_new_state_or_the_old(bench, tally, kind):
    assert none(save_under_faults(bench(kind), tally, [KILL, EIO]))


@STORES
def test_an_error_at_any_step_of_loading_costs_nothing_and_is_never_silent(bench, tally, kind):
    assert none(load_under_faults(bench(kind), tally, [EIO]))


@pytest.mark.parametrize("kind", [Bundles, Ring], ids=lambda kind: kind.__name__.lower())
def test_an_error_while_recovering_from_a_crash_makes_nothing_worse(bench, tally, kind):
    bench = bench(kind)
    for folder in bench.crashed():
        assert none(load_under_faults(bench, tally, [EIO], folder))


@pytest.mark.parametrize("kind", [Bundles, Snapshots], ids=lambda kind: kind.__name__.lower())
def test_a_write_that_claims_success_and_stores_nothing_is_found_out_before_it_is_acknowledged(bench, tally, kind):
    assert none(save_under_faults(bench(kind), tally, [LIE]))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@STORES
def test_whatever_fails_once_or_for_good_while_saving_the_new_state_or_the_old_is_left(bench, tally, kind):
    assert none(save_under_faults(bench(kind), tally, ALL))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@STORES
def test_whatever_fails_once_or_for_good_while_loading_is_never_silent(bench, tally, kind):
    assert none(load_under_faults(bench(kind), tally, ALL))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@STORES
def test_a_second_fault_after_a_crash_makes_nothing_worse(bench, tally, kind):
    bench = bench(kind)
    for folder in bench.crashed():
        assert none(load_under_faults(bench, tally, [KILL, EIO, replace(EIO, for_good=True)], folder))
        if NEW not in bench.victim.open(bench.fresh(folder)).kept():
            assert none(save_under_faults(bench, tally, [KILL, EIO], folder))


@pytest.mark.parametrize("kind", [PlainWrite, InPlace], ids=lambda kind: kind.__name__)
def test_a_store_that_writes_over_its_only_copy_is_found_out(bench, tally, kind):
    found = save_under_faults(bench(kind), tally, [KILL])
    assert any("damaged" in each or "0 was found" in each for each in found)


def test_a_store_that_does_not_read_back_what_it_wrote_is_found_out(bench, tally):
    found = save_under_faults(bench(OneFile), tally, [LIE])
    assert any(f"0 was found, and {NEW} acknowledged" in each for each in found)
