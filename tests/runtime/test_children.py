"""Children as real processes: started, heard, killed, started again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.parents import SCENARIOS
from titand.runtime.children import is_stuck

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scenario", [each.__name__ for each in SCENARIOS])
def test_with_real_processes(scenario):
    command = [sys.executable, "-m", "tests.runtime.parents", scenario]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("states", "stuck"), [("S", True), ("T", True), ("SSS", True), ("R", False), ("SSD", False), ("", True)]
)
def test_one_busy_thread_is_enough_to_be_alive(tmp_path, states, stuck):
    task = tmp_path / "4711" / "task"
    task.mkdir(parents=True)
    for number, state in enumerate(states):
        (task / f"{number}").mkdir()
        (task / f"{number}" / "stat").write_text(f"{number} (a (nasty) R name) {state} 1 2 3")
    assert is_stuck(4711, str(tmp_path)) is stuck


def test_one_that_is_gone_is_not_stuck(tmp_path):
    assert not is_stuck(4711, str(tmp_path))
