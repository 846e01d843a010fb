import dataclasses

import pytest
import torch

from tests.workers.guarded import guard_of
from tests.workers.pair import Pair, Plan
from titand.config import GuardConfig, ServiceConfig
from titand.runtime.arena import HELD_OUT
from titand.storage.snapshots import SnapshotStore


@pytest.fixture(autouse=True)
def one_thread():
    """As in the daemon; small models are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def closed_in_the_end():
    """Make pairs, and let go of their memories in the end."""
    made = []

    def make(*arguments, **options):
        made.append(Pair(*arguments, **options))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


pairs = pytest.fixture(closed_in_the_end)
module_pairs = pytest.fixture(closed_in_the_end, scope="module")


@pytest.fixture
def home(pairs, tmp_path):
    """A trainer with sixty held-out samples, its snapshots, and a guard."""
    made = pairs(Plan(held_out_ratio=1.0, held_out_samples=60, slot_count=160))
    for folder in ("snapshots", "checkpoints"):
        (tmp_path / folder).mkdir()
    made.config = dataclasses.replace(
        made.config, service=ServiceConfig(state_directory=str(tmp_path)), guard=GuardConfig(every_rounds=5)
    )
    made.start()
    made.feed(60)
    made.filter()
    assert made.states().count(HELD_OUT) == 60
    made.selector._held_out_ratio = 0.0
    made.feed(64)
    made.store = SnapshotStore(tmp_path / "snapshots")
    made.guard = guard_of(made)
    return made
