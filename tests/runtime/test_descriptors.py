"""Descriptors cross an exec by number, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from titand.runtime.descriptors import Descriptors, create_text, read_text

NUMBERS = st.integers(-1, 1 << 20)


@given(st.builds(Descriptors, *[NUMBERS] * 8))
def test_numbers_survive_the_command_line(descriptors):
    assert Descriptors.from_argument(descriptors.to_argument()) == descriptors


@given(st.builds(Descriptors, *[NUMBERS] * 8))
def test_only_what_is_given_is_inherited(descriptors):
    numbers = [getattr(descriptors, name) for name in Descriptors.__dataclass_fields__]
    assert list(descriptors.all()) == [number for number in numbers if number >= 0]


@given(st.text(max_size=10_000))
def test_a_text_can_be_read_any_number_of_times(text):
    descriptor = create_text(text)
    assert [read_text(descriptor) for _ in range(2)] == [text, text]
    os.close(descriptor)


def test_a_program_reads_what_it_inherited_and_has_nothing_else():
    given_one, kept = create_text("grüße"), create_text("secret")
    code = f"""
import os, sys
from titand.runtime.descriptors import Descriptors, read_text
sys.stdout.buffer.write(read_text(Descriptors.from_argument(sys.argv[1]).config).encode())
sys.exit(os.path.exists("/proc/self/fd/{kept}"))
"""
    descriptors = Descriptors(config=given_one)
    result = subprocess.run(
        [sys.executable, "-c", code, descriptors.to_argument()], pass_fds=descriptors.all(), capture_output=True
    )
    assert (result.stdout.decode(), result.returncode) == ("grüße", 0), result.stderr
