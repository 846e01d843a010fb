"""Each promise of the README names a test, and the test is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## Promises\n(.*?)^## ", re.DOTALL | re.MULTILINE)


def rows():
    """Promise and names of tests, row by row."""
    (section,) = SECTION.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    table = [line for line in section.splitlines() if line.startswith("|")]
    for line in table[2:]:
        _, promise, kept_by, _ = line.split("|")
        yield promise.strip(), re.findall(r"`(tests/[^`]*)`", kept_by)


def test_every_promise_names_a_test():
    assert len(list(rows())) > 10
    assert [promise for promise, tests in rows() if not tests] == []


def test_every_test_that_a_promise_names_is_there():
    named = {name for _, tests in rows() for name in tests}
    there = set()
    for path in {name.partition("::")[0] for name in named}:
        functions = [
            node
            for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        ]
        there |= {f"{path}::{function.name}" for function in functions}
    assert named - there == set()
