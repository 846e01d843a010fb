"""Exports as real processes that print, die, or take too long."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.clocks import HandClock
from titand.clock import SystemClock
from titand.errors import InvalidRequest
from titand.runtime.exports import Exports
from titand.runtime.log import Log
from titand.runtime.waiting import readable

SECONDS = 60.0
PROGRAMS = {
    "good": "print('{\"answer\": {}}')",
    "refused": 'print(\'{"error": {"reason": "SNAPSHOT_NOT_FOUND"}}\'); raise SystemExit(1)',
    "dead": "import os; os.kill(os.getpid(), 9)",
    "slow": "import signal; signal.pause()",
}


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def exports(clock):
    exports = Exports(lambda name, format: [sys.executable, "-c", PROGRAMS[name]], 280.0, clock, Log("t", "info", {}))
    yield exports
    exports.end()


def begin(exports: Exports, name: str, number: int) -> int:
    """Begin one, and return a handle that is readable once it has ended."""
    exports.begin({"id": number, "verb": "export", "name": name, "format": "pt2"})
    return os.pidfd_open(exports._under_way[-1].process.pid)


def wait_for(handle: int) -> None:
    assert readable([handle], SECONDS), "it did not end"
    os.close(handle)


def test_each_gets_its_own_answer(exports):
    for handle in [begin(exports, name, number) for number, name in enumerate(("good", "refused", "dead"))]:
        wait_for(handle)
    answers = {answer["id"]: answer for answer in exports.finished()}
    assert answers[0] == {"id": 0, "answer": {}}
    assert answers[1]["error"]["reason"] == "SNAPSHOT_NOT_FOUND"
    assert answers[2]["error"]["reason"] == "EXPORT_FAILED"
    assert "killed by SIGKILL" in answers[2]["error"]["message"]
    assert exports.finished() == []


def test_one_that_takes_too_long_is_ended_and_says_so(exports, clock):
    handle = begin(exports, "slow", 7)
    clock.now = int(279.9e9)
    assert exports.finished() == []
    clock.now = int(280e9)
    (answer,) = exports.finished()
    wait_for(handle)
    assert (answer["id"], answer["error"]["reason"]) == (7, "EXPORT_TOO_SLOW")
    assert "280 s" in answer["error"]["message"]
    assert exports.finished() == []


def test_the_limit_is_below_what_the_front_waits():
    pytest.importorskip("grpc")
    from titand.front.snapshots import EXPORT_SECONDS
    from titand.runtime.supervisor import Rules

    assert Rules(1, 1, 1).export_seconds + 10 <= EXPORT_SECONDS


def test_a_stop_leaves_none_running(exports):
    handle = begin(exports, "slow", 1)
    exports.end()
    wait_for(handle)
    assert exports.finished() == []


def test_something_else_is_refused(exports):
    with pytest.raises(InvalidRequest) as caught:
        exports.begin({"id": 1, "verb": "dance"})
    assert caught.value.reason == "UNKNOWN_VERB"


def test_answers_are_json():
    """What the supervisor sends goes over a channel."""
    exports = Exports(lambda name, format: ["false"], 0.0, SystemClock(), Log("t", "info", {}))
    wait_for(begin(exports, "good", 3))
    assert json.loads(json.dumps(exports.finished()))[0]["error"]["reason"] == "EXPORT_FAILED"
