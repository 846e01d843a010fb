from tests.workers.conftest import one_thread  # on a busy machine more of them wait for each other for minutes

__all__ = ["one_thread"]
