"""Every claim of the page on selection has a command, and every command finds a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "selection.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`pytest ([^`]+)`", PAGE)


def test_every_claim_has_a_command():
    claims = {int(number) for number in re.findall(r"\[(\d+)\]", PAGE)}
    rows = {int(number) for number in re.findall(r"^\| (\d+) ", PAGE, re.MULTILINE)}

    assert claims == rows == set(range(1, len(rows) + 1))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_finds_a_test(command):
    paths, _, words = command.partition(" -k ")
    names: list[str] = []
    for path in paths.split():
        files = [ROOT / path] if path.endswith(".py") else list((ROOT / path).glob("test_*.py"))
        names += [name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)]

    for word in words.strip('"').split(" or "):
        assert any(word in name for name in names), word
