import shutil
import tempfile
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon, Producer


@pytest.fixture(scope="module")
def homes():
    """Make short-lived folders with short paths: a socket's path may have 107 bytes."""
    made = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="titand-", dir="/tmp")))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemons(homes):
    """Make daemons, and leave none running."""
    made = []

    def make(changes=None) -> Daemon:
        made.append(Daemon(homes(), changes))
        return made[-1]

    yield make
    for daemon in made:
        daemon.clean_up()


@pytest.fixture
def producers():
    """Make producers, and let go of those that a failed test left."""
    made = []

    def make(daemon: Daemon) -> Producer:
        made.append(Producer(daemon))
        return made[-1]

    yield make
    for producer in made:
        producer.give_up()
