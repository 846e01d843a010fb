"""The parameter board: two slots, one number, the size that its first owner gave it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.runtime.parameters import ParameterBoard, create_parameters


def test_a_new_board_has_no_version():
    assert ParameterBoard(create_parameters(), 100).version == -1


def test_a_board_without_a_size_cannot_be_read():
    with pytest.raises(ValueError, match="parameter memory"):
        ParameterBoard(create_parameters())


@given(st.integers(1, 3 * 4096), st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=6))
def test_a_version_stays_readable_until_the_next_but_one(size, contents):
    descriptor = create_parameters()
    writer = ParameterBoard(descriptor, size)
    reader = ParameterBoard(descriptor)
    whole = [(content * size)[:size] for content in contents]
    for version, content in enumerate(whole):
        writer.slot(version)[:] = content
        assert reader.version == version - 1
        if version:
            assert bytes(reader.slot(version - 1)) == whole[version - 1]
        writer.publish(version)
        assert reader.version == version
        assert bytes(reader.slot(version)) == content
    os.close(descriptor)


def test_what_a_dead_trainer_left_is_found_by_its_successor():
    descriptor = create_parameters()
    board = ParameterBoard(descriptor, 8)
    board.slot(6)[:] = b"trained!"
    board.publish(6)
    board.slot(7)[:4] = b"half"  # it dies here
    after = ParameterBoard(descriptor, 8)
    assert (after.version, bytes(after.slot(after.version))) == (6, b"trained!")


@pytest.mark.parametrize("other", [7, 9, 8192])
def test_a_board_of_another_model_is_refused(other):
    descriptor = create_parameters()
    ParameterBoard(descriptor, 8)
    with pytest.raises(ValueError, match=f"slots of 8 bytes, not {other}"):
        ParameterBoard(descriptor, other)


def test_memory_of_another_kind_is_refused():
    descriptor = create_parameters()
    os.pwrite(descriptor, b"something else entirely, and long", 0)
    with pytest.raises(ValueError, match="parameter memory"):
        ParameterBoard(descriptor)


def test_slots_do_not_overlap_and_are_aligned_to_pages():
    board = ParameterBoard(create_parameters(), 4097)
    board.slot(0)[:] = b"a" * 4097
    board.slot(1)[:] = b"b" * 4097
    assert bytes(board.slot(0)) == b"a" * 4097
    assert bytes(board.slot(2)) == b"a" * 4097
    assert board.version == -1
