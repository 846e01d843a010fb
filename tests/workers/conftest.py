import pytest
import torch

from tests.workers.pair import Pair


@pytest.fixture(autouse=True)
def one_thread():
    """As in the daemon; small models are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pairs():
    """Make pairs, and let go of their memories in the end."""
    made = []

    def make(*arguments, **options):
        made.append(Pair(*arguments, **options))
        return made[-1]

    yield make
    for pair in made:
        pair.close()
