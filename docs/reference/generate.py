"""Write the reference from what it describes: configuration.md, cli.md and codes.md, beside this file.

python docs/reference/generate.py            write them
python docs/reference/generate.py --check    tell whether they are up to date
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from titan.cli.main import parser as titanctl_parser
from titan.codes import CHAPTERS
from titand.config import Config
from titand.daemon import command_line

HERE = Path(__file__).parent
GENERATED = "<!-- Made by docs/reference/generate.py: change what it describes, then `make reference`. -->"


def configuration() -> Iterator[str]:
    """Yield the lines of the page on configuration."""
    yield from ("# Configuration", "", GENERATED, "")
    yield "One TOML file, `/etc/titand/titand.toml` for the service; each key can be set by a variable instead:"
    yield "`TITAND_TRAINING__LEARNING_RATE=0.05`. `titand check-config` says whether it is right and where each value"
    yield "comes from. A key marked *reload* changes with `systemctl reload titand`, any other with a restart. Keys"
    yield "without a default have to be set."
    yield from _section(Config, "")


def _section(kind: Any, prefix: str) -> Iterator[str]:
    """Yield a table of the keys of a section, then the sections inside it."""
    keys = [entry for entry in dataclasses.fields(kind) if "help" in entry.metadata]
    if keys:
        yield from ("", f"## [{prefix.rstrip('.')}]", "", kind.__doc__, "")
        yield from ("| key | default | what it is | range | |", "| --- | --- | --- | --- | --- |")
    for entry in keys:
        check, text = entry.metadata["check"], entry.metadata["help"]
        cells = [f"`{entry.name}`", _default(entry), text, check[1] if check else ""]
        yield f"| {' | '.join(cells)} | {'reload' if entry.metadata['reloads'] else ''} |"
    for entry in dataclasses.fields(kind):
        if "help" not in entry.metadata:
            yield from _section(entry.default_factory, f"{prefix}{entry.name}.")


def _default(entry: Any) -> str:
    value = entry.default if entry.default is not dataclasses.MISSING else entry.default_factory()
    if value in ("", (), {}) and entry.name in ("architecture", "labels", "shape"):
        return ""
    return f"`{'{}' if value == {} else json.dumps(value)}`"


def codes() -> Iterator[str]:
    """Yield the lines of the page on codes."""
    yield from ("# Codes", "", GENERATED, "")
    yield "Every code of the health list, of a state, and of an error, as `titanctl explain CODE` prints it. Codes are"
    yield "stable: branch on them, never on the text of a message."
    for chapter, listed in CHAPTERS.items():
        yield from ("", f"## {chapter}")
        for code in listed:
            yield from ("", f"### {code.name}", "", f"*{code.severity}.* {code.meaning}", "")
            yield from (f"titand: {code.daemon}", "", f"You: {code.remedy}")


def cli() -> Iterator[str]:
    """Yield the lines of the page on both programs."""
    yield from ("# Command line", "", GENERATED)
    for parser in (titanctl_parser(), command_line()):
        options = [action for action in parser._actions if action.option_strings]
        yield from ("", f"## {parser.prog}", *_paragraphs(parser.description), *_paragraphs(parser.epilog))
        yield from _table(options)
        everywhere = {action.dest for action in options}
        yield from _verbs(parser, everywhere)


def _verbs(parser: argparse.ArgumentParser, everywhere: set[str]) -> Iterator[str]:
    """Yield a part for each verb, without the options that every verb takes."""
    for group in parser._actions:
        if not isinstance(group, argparse._SubParsersAction):
            continue
        helps = {action.dest: action.help for action in group._choices_actions}
        for name, verb in group.choices.items():
            own = [a for a in verb._actions if a.dest not in everywhere and not _is_group(a)]
            words = " ".join([verb.prog, *(f"[{_name(a)}]" if _is_optional(a) else _name(a) for a in own)])
            yield from ("", f"### {verb.prog}", "", f"`{words}`", "", f"{_sentence(helps[name])}")
            yield from _table(own)
            yield from _verbs(verb, everywhere)


def _table(actions: list[argparse.Action]) -> Iterator[str]:
    if actions:
        yield from ("", "| | |", "| --- | --- |")
    for action in actions:
        names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{_name(action)}`"
        takes = f" `{_name(action).split(' ', 1)[1]}`" if action.option_strings and action.nargs != 0 else ""
        yield f"| {names}{takes} | {(action.help or '').replace('|', ' or ')} |"


def _name(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else None
    if not action.option_strings:
        return metavar or action.dest.upper()
    value = metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper())
    return action.option_strings[0] if action.nargs == 0 else f"{action.option_strings[0]} {value}"


def _is_group(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _is_optional(action: argparse.Action) -> bool:
    return (bool(action.option_strings) and not action.required) or action.nargs in ("?", "*")


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _paragraphs(text: str | None) -> list[str]:
    return ["", *text.strip().splitlines()] if text else []


PAGES = {"configuration.md": configuration, "cli.md": cli, "codes.md": codes}


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--check", action="store_true", help="only tell whether they are up to date")
    check = options.parse_args(arguments).check
    stale = []
    for name, page in PAGES.items():
        text = "\n".join(line.rstrip() for line in page()) + "\n"
        path = HERE / name
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"out of date: {', '.join(stale)}; run: make reference", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
