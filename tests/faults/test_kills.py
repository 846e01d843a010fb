"""kill -9 of any process at any moment under load: service is back by itself, and no acknowledged sample is lost."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.e2e.daemon import WORKERS, health_of, process_of
from tests.faults.processes import PROCESSES, TOGETHER, birth_of, family_of
from tests.faults.witness import witnessed

WEIGHTS = {"front": 27, "selector": 25, "trainer": 20, "telemetry": 20, "zygote": 5}  # torch takes seconds to import
AGAIN = 0.5  # chance that another one is killed before the last is back
LONGEST_PAUSE = 0.2
KILLS_OF_ALL = 20


class Reaper:
    """Kills at random, and measures how long whoever was killed alone takes to be back.

    Args:
        books: checked at each look.
        seed: of its choices.
    """

    def __init__(self, books, seed: int) -> None:
        self._books = books
        self._chance = random.Random(seed)
        self._dead: set[tuple[int, int] | None] = {None}  # gone before anybody looked
        self.kills = dict.fromkeys(PROCESSES, 0)
        self.recoveries: dict[str, list[float]] = {name: [] for name in PROCESSES}

    def kill(self, count: int) -> None:
        """Kill so many."""
        while sum(self.kills.values()) < count:
            self._books.pass_time(self._chance.uniform(0, LONGEST_PAUSE))
            killed = [self._kill_one()]
            while self._chance.random() < AGAIN:
                killed.append(self._kill_one())
            for name, since in killed:
                self._await(name)
                if len(killed) == 1:
                    self.recoveries[name].append(time.monotonic() - since)

    def _kill_one(self) -> tuple[str, float]:
        alive = self._books.until(self._alive)
        name = self._chance.choices(sorted(alive), [WEIGHTS[each] for each in sorted(alive)])[0]
        self._dead.add(birth_of(alive[name]))
        try:
            os.kill(alive[name], signal.SIGKILL)
        except ProcessLookupError:
            assert name in WORKERS, f"{name} ended by itself:\n{self._books.daemon.log()[-3000:]}"
            return self._kill_one()  # it went with the one that was killed before
        self.kills[name] += 1
        return name, time.monotonic()

    def _await(self, name: str) -> None:
        """Wait until it has a successor that does its work, and so have those that ended with it."""
        self._books.until(lambda: all(each in self._alive() for each in TOGETHER[name]))
        self._books.go_on(0 if name in ("front", "telemetry") else 1)

    def _alive(self) -> dict[str, int]:
        family = family_of(self._books.daemon.pid)
        return {name: pid for name, pid in family.items() if birth_of(pid) not in self._dead}


def print_figures(reaper, books) -> None:
    """Print what docs/reliability.md publishes."""
    print(f"\n{sum(reaper.kills.values())} kills, {books.looks} looks at the ledger")
    for name, seconds in reaper.recoveries.items():
        ordered = sorted(seconds) or [float("nan")]
        print(
            f"  {name:10} {reaper.kills[name]:4} kills, alone {len(seconds):3}:"
            f" back after p50 {ordered[len(ordered) // 2]:.2f} s, max {ordered[-1]:.2f} s"
        )
    for witness in books.witnesses:
        print(
            f"  acknowledged {witness.acknowledged} over {witness.connections} connections, lost 0,"
            f" unheard {witness.unheard}, longest wait {witness.longest_wait:.2f} s"
        )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.nightly)])
def test_kills_at_random_under_load_lose_nothing(daemons, tally, count):
    # A machine that is busy with other things is slow, and not one of the faults: nothing is shed for that.
    daemon = daemons({"service.restart_seconds": 0.05, "ingest.patience_seconds": 3600}).start()
    with witnessed(daemon, count=2) as books:
        reaper = Reaper(books, seed=count)
        reaper.kill(count)
    print_figures(reaper, books)
    training = daemon.quiet()
    for name, kills in reaper.kills.items():
        assert process_of(training, name).restart_count >= kills
        tally[f"kill -9 of the {name}"] += kills
    assert health_of(training)
    assert health_of(training) <= {"PROCESS_RESTARTED", "PROCESS_CRASH_LOOP"}
    assert "Traceback" not in daemon.log(), daemon.log()
    assert daemon.stop() == 0


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_all_processes_killed_at_once_lose_nothing_that_is_logged(daemons, tally):
    chance = random.Random(7)
    daemon = daemons({"ingest.durable": True}).start()
    seconds = []
    with witnessed(daemon, count=2) as books:
        for _ in range(KILLS_OF_ALL):
            books.pass_time(chance.uniform(0, 1))
            daemon.kill_all()
            start = time.monotonic()
            daemon.start()
            daemon.until(lambda training: len(training.streams) == 2)  # all is back from the log
            books.go_on(1)
            seconds.append(time.monotonic() - start)
    told = sum(witness.acknowledged for witness in books.witnesses)
    middle = sorted(seconds)[KILLS_OF_ALL // 2]
    print(f"\n{KILLS_OF_ALL} kills of everything, {told} acknowledged, none lost; back after p50 {middle:.2f} s")
    assert daemon.stop() == 0
    tally["kill -9 of everything"] += KILLS_OF_ALL
