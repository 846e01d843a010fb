from tests.workers.conftest import one_thread, pairs

__all__ = ["one_thread", "pairs"]
