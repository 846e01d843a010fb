"""The reference says what the sources say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from titan.cli.main import main
from titan.codes import CODES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REFERENCE / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REFERENCE.parents[1])


def test_the_reference_is_up_to_date():
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_every_code_and_every_verb_has_its_heading(capsys):
    headings = [line for page in REFERENCE.glob("*.md") for line in page.read_text().splitlines() if line[:1] == "#"]
    assert {f"### {name}" for name in CODES} <= set(headings)
    with pytest.raises(SystemExit):
        main(["--help"])
    verbs = re.findall(r"^    ([a-z]\S*)", capsys.readouterr().out.partition("\nverbs:")[2], re.MULTILINE)
    assert {"status", "export-model"} <= set(verbs)
    assert {f"### titanctl {verb}" for verb in verbs} <= set(headings)


def test_an_option_that_a_verb_has_for_itself_is_in_its_table():
    page = (REFERENCE / "cli.md").read_text().partition("### titanctl export-model")[2].partition("###")[0]
    assert "[--format {safetensors,pt2}]" in page
