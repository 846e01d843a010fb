"""Every front of these tests is asked at the end whether its ledger balances."""

import pytest

from tests.front.house import House, config_in, counts


@pytest.fixture
def folder(tmp_path_factory):
    """An empty folder whose name is short enough for a socket."""
    return tmp_path_factory.mktemp("f")


@pytest.fixture
def house(tmp_path):
    """Make houses in the test's folder; after the test their books must balance."""
    houses = []

    def build(config=None, slot_count=64, trainer=None, supervisor=None, **ingest):
        made = House(config or config_in(tmp_path, **ingest), slot_count, trainer, supervisor)
        houses.append(made)
        return made

    yield build
    for each in houses:
        assert counts(each).is_balanced
