"""The front stays light: what it really loads, not what its imports say."""

import subprocess
import sys

import pytest

from tests.front.process import ENVIRONMENT

HEAVY = ("torch", "numpy", "titand.workers", "titand.selection", "titand.learning")


@pytest.mark.parametrize("module", ["titand.front.server", "titand.front.blocked"])
def test_never_loads_torch(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
