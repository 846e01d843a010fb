"""What a fresh interpreter loads for each part of the client."""

from __future__ import annotations

import subprocess
import sys

import pytest

import titan


def loaded_by(statement):
    """The packages in memory after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import titan", {"grpc", "google", "numpy", "torch", "titand", "asyncio"}),
        ("import titan.cli.main", {"grpc", "google", "numpy", "torch", "titand", "asyncio", "hashlib", "csv", "PIL"}),
        ("import titan; titan.Client", {"numpy", "torch", "titand"}),
        ("import titan; titan.AsyncClient", {"numpy", "torch", "titand"}),
        ("import titan.cli.screen", {"grpc", "google", "numpy", "torch"}),
    ],
)
def test_importing_loads_no_more_than_it_needs(statement, absent):
    assert not loaded_by(statement) & absent


def test_every_public_name_is_there():
    for name in titan.__all__:
        assert getattr(titan, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        titan.Nonsense  # noqa: B018
