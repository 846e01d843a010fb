"""titanctl explain: what a code means, what titand does about it, and what its owner can do. Asks no daemon."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

from titan.cli.output import Misused, Output

if TYPE_CHECKING:
    from titan.codes import Code

COLUMNS = 100


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("explain", parents=[everywhere], help="tell what a code means, and what to do about it")
    parser.add_argument("code", nargs="?", metavar="CODE", help="of a health item or an error (default: list them all)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    from titan.codes import CHAPTERS, CODES, nearest

    if args.code is None:
        return output.result({name: list(codes) for name, codes in CHAPTERS.items()}, lambda: _list(CHAPTERS))
    code = CODES.get(args.code.upper())
    if code is None:
        raise Misused(f"there is no code {args.code!r}; the nearest one is {nearest(args.code)}")
    return output.result(code, lambda: page(code))


def page(code: Code) -> str:
    """Return what there is to know about a code."""
    parts = [("", code.meaning), ("titand: ", code.daemon), ("You:    ", code.remedy)]
    texts = [fill(text, COLUMNS, initial_indent=head, subsequent_indent=" " * len(head)) for head, text in parts]
    return "\n\n".join([f"{code.name}  ({code.severity})", *texts])


def _list(chapters: Mapping[str, tuple[Code, ...]]) -> str:
    lines: list[str] = []
    for name, codes in chapters.items():
        lines += ["", name] if lines else [name]
        lines += [f"  {code.name:<28}{code.severity:<9}{_first_sentence(code.meaning)}" for code in codes]
    return "\n".join(line if len(line) <= COLUMNS else line[: COLUMNS - 3] + "..." for line in lines)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")
