"""The commands, see the package."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.telemetry.jetson_emulation import namespace
from tests.telemetry.jetson_emulation.boards import BOARDS
from tests.telemetry.jetson_emulation.files import get, put
from tests.telemetry.jetson_emulation.tree import Tree


def main() -> int:
    """Run one command; its exit code."""
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, command = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(prog="jetson_emulation")
    parser.add_argument("verb", choices=["build", "run", "enter", "set"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--board", default="orin-nano", choices=sorted(BOARDS))
    parser.add_argument("--nvml", action="store_true", help="build: add the stand-in for libnvidia-ml")
    options = parser.parse_args(arguments)
    root = options.folder.absolute()
    if options.verb == "build":
        Tree.build(root, options.board, options.nvml)
    elif options.verb == "set":
        for change in options.changes:
            key, _, text = change.partition("=")
            Tree(root).set(key, value(text))
    elif options.verb == "run":
        put(root / "namespace.pid", os.getpid())
        try:
            namespace.make(root)
        except PermissionError as error:
            print(f"refused: {error}", flush=True)
            return 1
        return subprocess.call(command)
    else:
        namespace.join(root, int(get(root / "namespace.pid")))
        os.execvp(command[0], command)
    return 0


def value(text: str) -> object:
    """Return the value a word stands for: off, a number, or MILLIVOLTS/MILLIAMPERES."""
    if text == "off":
        return None
    if "/" in text:
        return tuple(int(part) for part in text.split("/"))
    try:
        return float(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
