"""A daemon that was stopped and started again trains the very model that one without a stop trains."""

from __future__ import annotations

import pytest

import titan
from tests.e2e.daemon import SECONDS, Daemon, stream
from titand.storage.bundles import load_newest

WINDOW, ROUNDS = 16, 14
# So that nothing depends on when a process gets its turn: a round takes just what is pushed for it.
CHANGES = {
    "round.min_samples": WINDOW,
    "evaluation.held_out_ratio": 0.0,
    "training.momentum": 0.9,
}


def push_rounds(daemon: Daemon, windows, first: int, last: int) -> None:
    """Push one window for each round, and wait for the round."""
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        for number in range(first, last + 1):
            x, label = next(windows)
            client.push_batch(x[:WINDOW], label[:WINDOW])
            client.flush(SECONDS)
            daemon.until(lambda training, number=number: training.round_count >= number)


def state_of(daemon: Daemon) -> dict[str, bytes]:
    """Return what a stopped daemon has kept of model, optimizer and selector."""
    bundle, _ = load_newest(daemon.folder / "state" / "checkpoints")
    assert bundle is not None
    return {name: bytes(bundle.sections[name]) for name in ("state", "previous")}


@pytest.mark.parametrize("filter", ["predicted", pytest.param("stratified", marks=pytest.mark.nightly)])
def test_a_run_that_was_stopped_ends_with_the_same_bits(daemons, filter):
    ends = []
    for stops in ((), (3, 9)):
        daemon, windows, done = daemons({**CHANGES, "selection.filter": filter}).start(), stream(10**9, seed=3), 0
        for stop in (*stops, ROUNDS):
            push_rounds(daemon, windows, done + 1, stop)
            assert daemon.stop() == 0
            if stop < ROUNDS:
                daemon.start()
            done = stop
        ends.append(state_of(daemon))
    assert ends[0] == ends[1]
    assert len(ends[0]["state"]) == len(ends[0]["previous"]) > 0
