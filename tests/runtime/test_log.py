"""One line per event, with the journal's priority in front when the journal listens."""

from __future__ import annotations

import pytest

from titand.runtime.log import Log

LEVELS = ["debug", "info", "warning", "error"]


@pytest.mark.parametrize("environment", [{}, {"JOURNAL_STREAM": "8:1234"}])
def test_only_the_journal_is_told_priorities(capsys, environment):
    log = Log("front", "debug", environment)
    for level in LEVELS:
        getattr(log, level)("happened", level=level)
    prefix = ["<7>", "<6>", "<4>", "<3>"] if environment else [""] * 4  # sd-daemon(3)
    assert capsys.readouterr().err.splitlines() == [
        f"{start}front: happened level={level}" for start, level in zip(prefix, LEVELS, strict=True)
    ]


@pytest.mark.parametrize("least", LEVELS)
def test_what_is_less_severe_is_left_out(capsys, least):
    log = Log("front", least, {})
    for level in LEVELS:
        getattr(log, level)(level)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"front: {level}" for level in LEVELS[LEVELS.index(least) :]]


def test_the_level_may_change_while_it_is_in_use(capsys):
    log = Log("trainer", "error", {})
    log.info("unheard")
    log.level = "info"
    log.info("heard")
    assert capsys.readouterr().err == "trainer: heard\n"


def test_an_event_is_one_line_whatever_it_says(capsys):
    Log("titand", "info", {}).info("broke", why="line one\nline two", path="/a b", empty="", number=3, ratio=1 / 3)
    assert capsys.readouterr().err == (
        'titand: broke why="line one\\nline two" path="/a b" empty="" number=3 ratio=0.333333\n'
    )
