"""The reference says what the sources say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from titan.cli.main import VERBS
from titan.codes import CODES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REFERENCE / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REFERENCE.parents[1])


def test_the_reference_is_up_to_date():
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_every_code_and_every_verb_has_its_heading():
    headings = [line for page in REFERENCE.glob("*.md") for line in page.read_text().splitlines() if line[:1] == "#"]
    assert {f"### {name}" for name in CODES} <= set(headings)
    assert sum(heading.startswith("### titanctl ") for heading in headings) >= len(VERBS)
