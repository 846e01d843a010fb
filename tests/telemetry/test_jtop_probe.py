"""The probe by itself, with modules called jtop that do on purpose what the real one does by chance."""

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from titand.telemetry import jtop_probe

STAND_IN = """
import json
__version__ = "7.2.2"
class JtopException(Exception): pass
def uptime(): return float(open("/proc/uptime").read().split()[0])
class jtop:
    def __init__(self, interval): self.interval, self.left = 2 * interval, {samples}
    def start(self): {start}
    def ok(self): self.left -= 1; return self.left >= 0
    def json(self): return json.dumps({{"uptime": {uptime}, "left": self.left}})
"""


@pytest.fixture
def probe(tmp_path):
    """Return a function that runs the probe with a jtop of ours; its messages, once it has ended."""

    def run(samples=3, start="pass", uptime="uptime()", close=False):
        (tmp_path / "jtop.py").write_text(STAND_IN.format(samples=samples, start=start, uptime=uptime))
        script = (
            f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['probe', '1.0']\n"
            f"runpy.run_path({jtop_probe.__file__!r}, run_name='__main__')"
        )
        command = [sys.executable, "-I", "-c", script]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            if close:
                process.stdin.close()
            return [json.loads(line) for line in process.stdout.read().splitlines()]

    return run


def test_it_greets_with_the_interval_that_the_service_has(probe):
    assert probe()[0] == {"hello": {"interval": 2.0, "version": "7.2.2"}}


def test_a_sample_is_dated_by_when_it_was_taken(probe):
    before = time.monotonic()
    (sample,) = [message for message in probe(samples=1, uptime="uptime() - 2.0") if "sample" in message]
    after = time.monotonic()

    clock_step = 0.02  # of /proc/uptime
    assert before - 2.0 - clock_step <= sample["time_ns"] / 1e9 <= after - 2.0 + clock_step


def test_a_sample_that_is_repeated_is_told_once(probe):
    messages = probe(samples=5, uptime="7.0 if self.left > 0 else 8.0")

    assert [message["sample"]["uptime"] for message in messages if "sample" in message] == [7.0, 8.0]


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("pass", "no fresh sample in three intervals of 1 s"),
        ("raise JtopException('not active\\nsudo it')", "not active"),
        ("raise EOFError()", "EOFError: "),
        ("raise BrokenPipeError(32, 'Broken pipe')", "BrokenPipeError: [Errno 32] Broken pipe"),
    ],
)
def test_its_last_word_is_the_reason(probe, start, reason):
    assert probe(start=start)[-1] == {"end": reason}


def test_what_the_library_prints_is_no_message(probe):
    messages = probe(samples=1, start="print('hello world')")

    assert [next(iter(message)) for message in messages] == ["hello", "sample", "end"]


def test_it_leaves_when_its_input_closes_although_jtop_hangs(probe):
    assert probe(start="__import__('threading').Event().wait()", close=True) == []


def test_without_jetson_stats_it_says_so(tmp_path):
    command = [sys.executable, "-I", jtop_probe.__file__, "1.0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        lines = process.stdout.read().splitlines()  # until it ends by itself

    assert [json.loads(line) for line in lines] == [{"end": f"jetson-stats is not installed for {sys.executable}"}]


def test_it_is_written_for_python_3_6_and_the_standard_library():
    """The service's interpreter is the system's: 3.6 on JetPack 4, 3.8 on JetPack 5."""
    tree = ast.parse(Path(jtop_probe.__file__).read_text(), feature_version=(3, 6))

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - {"jtop"} <= set(sys.stdlib_module_names)
    assert "__future__" not in imported  # annotations, its use, came with 3.7
