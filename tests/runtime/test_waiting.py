"""Waiting for descriptors."""

import fcntl
import os
import resource

import pytest

from titand.runtime.waiting import readable


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_nothing_is_readable_until_something_was_written(pipe):
    reading, writing = pipe
    assert readable([reading], 0.01) == set()
    os.write(writing, b"x")
    assert readable([reading], None) == {reading}


def test_the_end_of_a_pipe_counts_as_readable():
    reading, writing = os.pipe()
    os.close(writing)
    assert readable([reading], None) == {reading}
    os.close(reading)


def test_descriptors_beyond_a_thousand_and_twenty_four_are_waited_for(pipe):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2048:
        pytest.skip("no more than 2,048 descriptors are allowed here")
    reading, writing = pipe
    high = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 1500)
    os.write(writing, b"x")
    assert readable([high], 0) == {high}
    os.close(high)


def test_a_closed_descriptor_is_an_error_and_no_end():
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="closed"):
        readable([reading], 0)
