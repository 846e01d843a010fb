"""The kernel's small files, and what machine this is."""

import pytest

from tests.telemetry.jetson_emulation.boards import BOARDS
from titand.telemetry.sysfs import entries, identify, l4t_release, read_int, read_text


@pytest.mark.parametrize(
    ("text", "number"), [("42\n", 42), ("-7", -7), ("", None), ("n/a", None), ("1.5", None), ("0x10", None)]
)
def test_a_file_has_an_integer_or_none(tmp_path, text, number):
    (tmp_path / "file").write_text(text)

    assert read_int(str(tmp_path / "file")) == number


def test_a_file_that_is_not_there_or_cannot_be_read_has_no_text(tmp_path):
    assert read_text(str(tmp_path / "absent")) is None
    assert read_text(str(tmp_path)) is None
    assert entries(str(tmp_path / "absent")) == []


def test_the_end_of_a_text_is_not_part_of_it(tmp_path):
    (tmp_path / "name").write_bytes(b"gv11b\0")

    assert read_text(str(tmp_path / "name")) == "gv11b"


def test_bytes_that_are_no_text_do_no_harm(tmp_path):
    (tmp_path / "name").write_bytes(b"\xff\xfe")

    assert read_int(str(tmp_path / "name")) is None


def test_entries_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        (tmp_path / f"hwmon{number}").mkdir()
    (tmp_path / "other").mkdir()

    assert entries(str(tmp_path), "hwmon") == [str(tmp_path / f"hwmon{number}") for number in (1, 2, 10)]


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_is_known_for_what_it_is(build, name):
    tree = build(name)

    board = identify(tree.sys, tree.etc)

    kind = "pc" if name == "pc" else "jetson"
    assert board == (tree.board.model, tree.board.l4t, kind)


def test_a_board_is_a_jetson_by_its_device_tree_alone(build, tmp_path):
    """As in a container, which has its own /etc."""
    board = identify(build("thor").sys, str(tmp_path))

    assert (board.kind, board.l4t) == ("jetson", "")


def test_a_machine_that_says_nothing_is_a_pc_without_a_name(tmp_path):
    assert identify(str(tmp_path), str(tmp_path)) == ("", "", "pc")


@pytest.mark.parametrize("text", ["", "R36", "# R36 (release), REVISION:", "REVISION: 4.3", "something else"])
def test_a_release_file_of_another_shape_names_no_release(text):
    assert l4t_release(text) == ""
