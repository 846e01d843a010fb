import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """As the benchmarks run; on a busy machine more threads wait for each other for minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
