"""Which interpreter the installed jtop service runs under."""

import sys

import pytest

from titand.telemetry.jtop_install import service_interpreter


@pytest.fixture
def unit(tmp_path):
    """Return a function that installs a program with these first lines, and the unit that starts it."""

    def install(*lines, command="{program} --force"):
        program = tmp_path / "jtop"
        program.write_text("\n".join(lines) + "\n")
        path = tmp_path / "jtop.service"
        path.write_text(f"[Unit]\nAfter=multi-user.target\n\n[Service]\nExecStart={command.format(program=program)}\n")
        return str(path)

    return install


@pytest.mark.parametrize(
    ("lines", "interpreter"),
    [
        (["#!/usr/bin/python3"], "/usr/bin/python3"),
        (["#! /opt/jtop/bin/python3.10 -sE", "import jtop"], "/opt/jtop/bin/python3.10"),
        (["#!/bin/sh", "'''exec' /a/path/too/long/bin/python \"$0\" \"$@\"", "' '''"], "/a/path/too/long/bin/python"),
        (["#!/bin/sh", '\'\'\'exec\' "/with a space/bin/python" "$0" "$@"'], "/with a space/bin/python"),
    ],
)
def test_it_stands_in_the_first_lines_of_the_program(unit, lines, interpreter):
    assert service_interpreter([unit(*lines)]) == interpreter


def test_a_program_found_by_env_is_looked_up(unit, tmp_path, monkeypatch):
    (tmp_path / "python-of-jtop").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert service_interpreter([unit("#!/usr/bin/env python-of-jtop")]) == str(tmp_path / "python-of-jtop")


def test_a_unit_may_name_the_interpreter_itself(unit):
    found = service_interpreter([unit("", command="-/opt/venv/bin/python3 -m jtop --force")])

    assert found == "/opt/venv/bin/python3"


@pytest.mark.parametrize(
    "lines", [["#!/bin/sh", "exec jtop"], ["\x7fELF"], [""], ["#!"], ["#!/usr/bin/env absent-python"]]
)
def test_a_program_that_does_not_tell_leaves_it_unknown(unit, lines):
    assert service_interpreter([unit(*lines)]) is None


def test_without_a_unit_or_a_program_it_is_unknown(tmp_path):
    (tmp_path / "jtop.service").write_text("[Service]\nExecStart=/absent/jtop\n")

    assert service_interpreter([str(tmp_path / "absent")]) is None
    assert service_interpreter([str(tmp_path / "jtop.service")]) is None


def test_the_first_unit_that_exists_counts(unit, tmp_path):
    assert service_interpreter([str(tmp_path / "absent"), unit("#!/usr/bin/python3")]) == "/usr/bin/python3"
