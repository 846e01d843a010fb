"""Report boards: whole reports only, whatever happens to their writer, and signs of life."""

from __future__ import annotations

import mmap
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clocks import HandClock
from titand.clock import SystemClock
from titand.runtime.boards import BOARD_BYTES, BOARDS, Boards, Memory, create_boards, create_memory

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class PowerCut(BaseException):
    """The writer dies here."""


class Dying(mmap.mmap):
    """Shared memory whose writer dies after so many stored bytes."""

    budget = 0

    def __setitem__(self, key, value) -> None:
        stored = value[: self.budget]
        super().__setitem__(slice(key.start, key.start + len(stored)), stored)
        self.budget -= len(value)
        if self.budget < 0:
            raise PowerCut


class Overtaken(mmap.mmap):
    """Shared memory in which something happens just before its reader copies a report."""

    def meanwhile(self) -> None:
        """What happens."""

    def __getitem__(self, key):
        self.meanwhile()
        return super().__getitem__(key)


def test_what_was_written_is_read_through_another_view():
    descriptor, clock = create_boards(), HandClock(1_000)
    writer, reader = Boards(descriptor, clock), Boards(descriptor, clock)

    @settings(max_examples=40)
    @given(st.dictionaries(st.text(), PLAIN))
    def check(content):
        clock.now += 1
        writer.write("trainer", content)
        report = reader.read("trainer")
        assert (report.content, report.written_ns) == (content, clock.now)

    check()
    assert [reader.read(board) for board in BOARDS if board != "trainer"] == [None] * (len(BOARDS) - 1)


def test_the_newest_report_wins():
    boards = Boards(create_boards(), HandClock(1_000))
    for number in range(5):
        boards.write("front", {"number": number, "padding": "x" * (100 * number % 7)})
        assert boards.read("front").content["number"] == number


@settings(max_examples=50)
@given(st.integers(0, 200), st.text(max_size=50), st.text(max_size=150))
def test_a_writer_that_dies_half_way_leaves_its_last_report(bytes_stored, before, after):
    descriptor, clock = create_boards(), HandClock(1_000)
    writer = Boards(descriptor, clock)
    writer.write("wishes", {"note": before})
    writer._memory = Dying(descriptor, len(BOARDS) * BOARD_BYTES)
    writer._memory.budget = bytes_stored
    finished = True
    try:
        writer.write("wishes", {"note": after})
    except PowerCut:
        finished = False
    reader = Boards(descriptor, clock)
    assert reader.read("wishes").content == {"note": after if finished else before}
    reader.write("wishes", {"note": "of its successor"})
    assert reader.read("wishes").content == {"note": "of its successor"}
    os.close(descriptor)


def test_a_reader_that_is_overtaken_twice_looks_again():
    descriptor, clock = create_boards(), HandClock(1_000)
    writer, reader = Boards(descriptor, clock), Boards(descriptor, clock)
    writer.write("trainer", {"number": 100})
    reader._memory = Overtaken(descriptor, len(BOARDS) * BOARD_BYTES)
    news = iter(range(4))

    def overtake() -> None:
        for number in (next(news, None), next(news, None)):
            if number is not None:
                writer.write("trainer", {"number": number})

    reader._memory.meanwhile = overtake
    assert reader.read("trainer").content == {"number": 3}


def test_a_reader_never_sees_half_a_report():
    descriptor, clock = create_boards(), SystemClock()
    writer, reader = Boards(descriptor, clock), Boards(descriptor, clock)
    writer.write("selector", {"number": 0, "text": []})
    done = threading.Event()

    def write() -> None:
        for number in range(1, 3_000):
            writer.write("selector", {"number": number, "text": [number] * (number % 500)})
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = -1
    while not done.is_set():
        content = reader.read("selector").content
        assert content["text"] == [content["number"]] * (content["number"] % 500)
        assert content["number"] >= seen
        seen = content["number"]
    thread.join()
    assert reader.read("selector").content["number"] == 2_999


def test_a_report_too_large_is_refused_and_changes_nothing():
    boards = Boards(create_boards(), HandClock(1_000))
    boards.write("telemetry", {"small": 1})
    with pytest.raises(ValueError, match="does not fit the telemetry board"):
        boards.write("telemetry", {"large": "x" * BOARD_BYTES})
    assert boards.read("telemetry").content == {"small": 1}


def test_the_largest_report_does_not_touch_its_neighbours():
    boards = Boards(create_boards(), HandClock(1_000))
    for board in BOARDS:
        boards.write(board, {"of": board})
    room = BOARD_BYTES // 2 - 100
    for _ in range(2):
        boards.write("selector", {"x": "y" * room})
    assert len(boards.read("selector").content["x"]) == room
    assert [boards.read(board).content for board in BOARDS if board != "selector"] == [
        {"of": board} for board in BOARDS if board != "selector"
    ]


def test_silence_is_counted_from_the_last_sign_of_life():
    clock = HandClock(1_000)
    boards = Boards(create_boards(), clock)
    assert boards.silence_ns("trainer") is None
    boards.write("trainer", {})
    clock.now += 5
    assert boards.silence_ns("trainer") == 5
    boards.beat("trainer")
    clock.now += 3
    assert boards.silence_ns("trainer") == 3
    assert boards.read("trainer").written_ns == 1_000
    assert boards.silence_ns("selector") is None


def test_a_dead_writer_leaves_its_word_and_no_sign_of_life():
    boards = Boards(create_boards(), HandClock(1_000))
    boards.write("trainer", {"round": 7})
    boards.end("trainer")
    assert boards.read("trainer").content == {"round": 7}
    assert boards.silence_ns("trainer") is None


def test_a_cleared_board_says_nothing_until_the_next_report():
    boards = Boards(create_boards(), HandClock(1_000))
    for number in range(2):
        boards.write("front", {"number": number})
    boards.clear("front")
    assert boards.read("front") is None
    assert boards.silence_ns("front") is None
    boards.write("front", {"number": 7})
    assert boards.read("front").content == {"number": 7}


@given(st.lists(st.binary(max_size=300), min_size=1))
def test_memory_holds_what_was_written_last(contents):
    descriptor = create_memory()
    assert Memory(descriptor).read() is None
    for content in contents:
        Memory(descriptor).write(content)
        assert Memory(descriptor).read() == content
    os.close(descriptor)


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=100), st.data())
def test_memory_that_was_written_half_is_not_read(before, after, data):
    descriptor = create_memory()
    memory = Memory(descriptor)
    memory.write(before)
    head = os.pread(descriptor, 16, 0)
    memory.write(after)
    stored = data.draw(st.integers(0, len(after)))
    rest = before.ljust(len(after), b"\0")[stored:]
    os.pwrite(descriptor, head, 0)  # dead before it could write the head
    os.pwrite(descriptor, rest, 16 + stored)
    assert Memory(descriptor).read() in (None, before)
    os.close(descriptor)
