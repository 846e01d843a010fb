"""The pages lead somewhere, and the tutorial does what it says, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from titand.config_text import load_config

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
FENCE = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    """The code blocks of a page: language, name of the file they are to be saved as, text."""
    return FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


def test_every_link_between_pages_leads_to_a_file():
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_python_block_is_python():
    for page in PAGES:
        for language, _, text in blocks(page):
            if language == "python":
                compile(text, str(page), "exec")


def test_the_tutorials_configuration_is_valid(tmp_path):
    (text,) = [text for _, name, text in blocks("docs/tutorial.md") if name == "titand.toml"]
    (tmp_path / "titand.toml").write_text(text)
    config, _ = load_config(tmp_path / "titand.toml", {})
    assert len(config.model.labels) == 3


@pytest.mark.timeout(180)
def test_the_tutorial_gets_from_nothing_to_a_model_of_ones_own_data(tmp_path):
    pytest.importorskip("torch")
    script = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for language, name, text in blocks("docs/tutorial.md"):
        if name:
            script.append(f"cat > {name} <<'END-OF-{name}'\n{text}END-OF-{name}")
        elif language == "bash":
            script.append(text)
    result = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    log = tmp_path / "first" / "titand.log"
    assert result.returncode == 0, result.stdout + result.stderr + (log.read_text() if log.exists() else "")
    assert "drawings that were never pushed" in result.stdout
