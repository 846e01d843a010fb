"""Faults on purpose, and what has to be true after each of them.

After every fault here: the ledger balances, no damaged state is loaded, the health list says what happened, and service
returns by itself. The fast part is in the default run, the long part is `nightly`; what a machine cannot do is skipped
with the reason. How many faults of which kind a run has made is printed at its end.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import daemons, homes, producers

__all__ = ["daemons", "homes", "producers"]

COUNTS = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session")
def tally(pytestconfig) -> Counter[str]:
    """Counts what was done to the service in this run, for `docs/reliability.md`; add to it by a few plain words."""
    return pytestconfig.stash.setdefault(COUNTS, Counter())


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """A folder in memory if possible, where it is not for the machine's own disk to say how long a flush takes."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(prefix="titand-faults-", dir=place) as folder:
        yield Path(folder)


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash.get(COUNTS, Counter())
    if counts:
        terminalreporter.section("faults")
    for what, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count:9,}  {what}")
