"""Emulated boards as plain trees of files, for what only reads files."""

import pytest

from tests.telemetry.jetson_emulation.tree import Tree


@pytest.fixture
def build(tmp_path):
    """Return a function that writes a board by name."""
    return lambda name: Tree.build(tmp_path / name, name)
