"""Every code that anybody may be shown has a page, and no page speaks of a code that is gone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from titan.cli.explain import COLUMNS, page
from titan.cli.main import main
from titan.codes import CHAPTERS, CODES, nearest

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("titand", "clients/python/titan") for path in (ROOT / folder).rglob("*.py")]
LIKE_A_CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
GRPC_STATUSES = {"DATA_LOSS", "DEADLINE_EXCEEDED"}  # of gRPC, beside a reason of our own
OTHERS = re.compile(r"(GRPC|OMP|OPENBLAS|TITAND|NOTIFY|WATCHDOG|JOURNAL|VDD|POM|DATA_TYPE|SAMPLE_FATE)_.*")


def texts(source: Path) -> set[str]:
    """All strings that a source file holds, but for the names that it exports."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    body = [
        each for each in tree.body if not (isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__")
    ]
    nodes = [node for each in body for node in ast.walk(each)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


SAID = {text for source in SOURCES if not {"v1", "codes"} & set(source.parts) for text in texts(source)}


def test_every_code_in_the_sources_has_a_page():
    codes = {text for text in SAID if LIKE_A_CODE.fullmatch(text) and not OTHERS.fullmatch(text)}
    assert codes - GRPC_STATUSES - CODES.keys() == set(), "write their pages in clients/python/titan/codes/"


def test_every_health_code_of_one_word_has_a_page_too():
    shown = re.compile(r"""(?:"code": |_item\()"([A-Z]+)\"""")
    codes = {code for source in SOURCES for code in shown.findall(source.read_text(encoding="utf-8"))}
    assert codes - CODES.keys() == set()


def test_a_page_is_as_severe_as_the_health_list():
    item = re.compile(r"""(?:_item\(|"code": )"([A-Z_]+)", (?:"severity": )?"(\w+)\"""")
    said: dict[str, set[str]] = {}
    for source in SOURCES:
        for name, severity in item.findall(source.read_text(encoding="utf-8")):
            said.setdefault(name, set()).add(severity)
    assert len(said) > 10
    assert {name: severities for name, severities in said.items() if CODES[name].severity not in severities} == {}


def test_every_page_is_of_a_code_in_the_sources():
    assert CODES.keys() - SAID == set()


def test_no_code_has_two_pages():
    assert sum(map(len, CHAPTERS.values())) == len(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_page_says_everything_in_whole_sentences(code):
    assert code.severity in ("info", "warning", "error")
    for text in (code.meaning, code.daemon, code.remedy):
        assert text == text.strip()
        assert "  " not in text
        assert text.endswith((".", "?", ")", "`")) or code.name == "PILLOW_MISSING"
    assert all(len(line) <= COLUMNS for line in page(code).splitlines())


def test_explain_prints_a_page(capsys):
    assert main(["explain", "disk_full"]) == 0
    assert capsys.readouterr().out == page(CODES["DISK_FULL"]) + "\n"


def test_explain_lists_them_all(capsys):
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", listed, re.MULTILINE) for name in CODES)
    assert max(map(len, listed.splitlines())) <= COLUMNS


def test_explain_names_the_nearest_code_to_an_unknown_one(capsys):
    assert main(["explain", "NOT_DURABEL"]) == 2
    assert "NOT_DURABLE" in capsys.readouterr().err
    for name in CODES:
        assert nearest(name[:-1] + "?") in CODES
        assert nearest(name.lower().replace("_", "-")) == name
