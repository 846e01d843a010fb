"""Property tests that give the same verdict on every run: a fixed search, and no deadline on a busy machine."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
