"""What the page on late labels shows is what happens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.test_pages import ROOT, blocks
from tests.front.house import House, config_in

PAGE = "docs/how-to/label-later.md"


@pytest.fixture
def folder():
    """An empty folder whose name is short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="titan-"))
    yield path
    shutil.rmtree(path)


def test_the_example_prints_what_the_page_says(folder):
    (program,) = [text for _, name, text in blocks(PAGE) if name == "label_later.py"]
    expected = (ROOT / PAGE).read_text().split("```\n\n```\n")[1].split("```")[0]
    house = House(config_in(folder), slot_count=256)
    with house.front():
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ
            | {
                "TITAND_ADDRESS": f"unix:{folder / 'titand.sock'}",
                "PYTHONPATH": str(ROOT / "clients" / "python"),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
