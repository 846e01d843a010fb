"""Each function of the library is shown at work by an example that runs; the examples themselves run as doctests."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest

MODULES = sorted(Path(__file__).parents[2].glob("titand/selection/[a-z]*.py"))


def works(node: ast.AST) -> bool:
    """Whether this is public and does something: neither plain data nor a protocol."""
    if isinstance(node, ast.FunctionDef):
        return not node.name.startswith("_")
    if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
        return False
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and not each.decorator_list]
    return bool(methods) and not bases & {"Protocol", "Enum", "NamedTuple"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_every_public_function_is_called_in_an_example_of_its_module(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))
    texts = [
        ast.get_docstring(node)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    ]
    examples = " ".join(part.source for text in texts if text for part in doctest.DocTestParser().get_examples(text))

    shown = set(re.findall(r"\w+", examples))

    assert {node.name for node in tree.body if works(node)} <= shown
