"""For all tests: no property fails because the machine was busy, and no descriptor is left behind."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

FEW = 20  # what libraries keep from their first use on

settings.register_profile("titand", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("titand")


@pytest.fixture(scope="module", autouse=True)
def no_descriptor_is_left_open():
    """Fail where a file of tests leaks; a later one, in the same process, would run out."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    left = set(os.listdir("/proc/self/fd")) - before
    assert len(left) <= FEW, [
        os.readlink(f"/proc/self/fd/{each}") for each in left if os.path.exists(f"/proc/self/fd/{each}")
    ]
