"""One line per event, with the journal's priority in front when the journal listens."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from titand.runtime.log import Log

LEVELS = ["debug", "info", "warning", "error"]


@pytest.mark.parametrize("environment", [{}, {"JOURNAL_STREAM": "8:1234"}])
def test_only_the_journal_is_told_priorities(capfd, environment):
    log = Log("front", "debug", environment)
    for level in LEVELS:
        getattr(log, level)("happened", level=level)
    prefix = ["<7>", "<6>", "<4>", "<3>"] if environment else [""] * 4  # sd-daemon(3)
    assert capfd.readouterr().err.splitlines() == [
        f"{start}front: happened level={level}" for start, level in zip(prefix, LEVELS, strict=True)
    ]


@pytest.mark.parametrize("least", LEVELS)
def test_what_is_less_severe_is_left_out(capfd, least):
    log = Log("front", least, {})
    for level in LEVELS:
        getattr(log, level)(level)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [f"front: {level}" for level in LEVELS[LEVELS.index(least) :]]


def test_the_level_may_change_while_it_is_in_use(capfd):
    log = Log("trainer", "error", {})
    log.info("unheard")
    log.level = "info"
    log.info("heard")
    assert capfd.readouterr().err == "trainer: heard\n"


def test_an_event_is_one_line_whatever_it_says(capfd):
    Log("titand", "info", {}).info("broke", why="line one\nline two", path="/a b", empty="", number=3, ratio=1 / 3)
    assert capfd.readouterr().err == (
        'titand: broke why="line one\\nline two" path="/a b" empty="" number=3 ratio=0.333333\n'
    )


@pytest.mark.parametrize("where", ["full disk", "closed pipe"])
def test_a_log_that_cannot_be_written_ends_nothing(where):
    reading, closed = os.pipe()
    os.close(reading)
    with open("/dev/full", "w") as full:
        program = "from titand.runtime.log import Log; Log('x', 'info', {}).error('lost'); print('goes on')"
        stderr = full if where == "full disk" else closed
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stderr, text=True)
    os.close(closed)
    assert (done.returncode, done.stdout) == (0, "goes on\n")
