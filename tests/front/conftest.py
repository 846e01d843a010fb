"""Every front of these tests is asked at the end whether its ledger balances."""

import pytest

from tests.front.house import House, config_in
from titand.clock import SystemClock
from titand.runtime.ledger import Ledger


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
        assert Ledger(each.arena, each.filled, SystemClock()).counts().is_balanced
