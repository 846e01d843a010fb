"""Servers on sockets in short-named folders: a socket's path has room for 107 characters."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

import titan
from tests.client.awaited import Awaited
from tests.client.reference_server import ReferenceServer, Script


@pytest.fixture
def folder():
    """An empty folder with a short name."""
    path = Path(tempfile.mkdtemp(prefix="titan-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(folder):
    """Start reference servers that end with the test."""
    with ExitStack() as stack:
        yield lambda script=None, name="titand.sock": stack.enter_context(
            ReferenceServer(str(folder / name), script or Script())
        )


@pytest.fixture(params=["threads", "tasks"])
def client_of(request):
    """Make clients of either library; what a test leaves open is closed."""
    with ExitStack() as stack:

        def make(server, **options):
            kind = titan.Client if request.param == "threads" else Awaited
            client = kind(getattr(server, "address", server), **options)
            stack.callback(close_quietly, client)
            return client

        yield make


def close_quietly(client):
    """Close a client that may be closed already, or have samples left."""
    try:
        client.close(timeout=0.0)
    except titan.TitanError:
        pass
