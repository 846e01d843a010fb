"""Where jtop is installed: its socket, and the interpreter that its service runs under."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

SOCKET = "/run/jtop.sock"
UNITS = (
    "/etc/systemd/system/jtop.service",
    "/usr/lib/systemd/system/jtop.service",
    "/lib/systemd/system/jtop.service",
)


def service_interpreter(units: Sequence[str] = UNITS) -> str | None:
    """Return the Python of the installed jtop service, or None when that cannot be told.

    Client and service must have the same version, and this interpreter has the service's. It stands in the first
    line of the program that the unit starts.
    """
    for unit in units:
        program = _program(unit)
        if program is not None:
            return program if _is_python(program) else _script_interpreter(program)
    return None


def _program(unit: str) -> str | None:
    for line in _head(unit, 10_000).splitlines():
        key, _, command = line.partition("=")
        if key.strip() == "ExecStart" and command.strip():
            return shlex.split(command)[0].lstrip("-@:+!")
    return None


def _script_interpreter(script: str) -> str | None:
    lines = _head(script, 1000).splitlines()
    if not lines or not lines[0].startswith("#!"):
        return None
    words = lines[0][2:].split()
    if not words:
        return None
    if _is_python(words[0]):
        return words[0]
    if os.path.basename(words[0]) == "env":
        import shutil  # it brings every compression with it, for a line that few installations have

        return shutil.which(words[-1])
    # Installers write a path too long for the kernel into the second line: '''exec' "/long/path/python" "$0" "$@"
    long_path = re.match(r"'''exec' (\"[^\"]+\"|\S+) ", lines[1]) if len(lines) > 1 else None
    return long_path.group(1).strip('"') if long_path else None


def _is_python(path: str) -> bool:
    return os.path.basename(path).startswith("python")


def _head(path: str, size: int) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(size)
    except OSError:
        return ""
