"""The watcher of the jtop probe, with probes that misbehave on purpose. Time is given, so nothing waits for it."""

import itertools
import json
import os
import sys

import pytest

from tests.telemetry.emulated_board import wait_for
from titand.telemetry.jtop import Jtop

SECOND = 10**9
SAMPLE = {"nvp": {"model": {"name": "15W"}}}


class Watch:
    """A watcher whose probe is a script; `read` drives it at a time of ours."""

    def __init__(self, folder, script, **options):
        socket = folder / "jtop.sock"
        socket.touch()
        options = {"silent_seconds": 5, "start_seconds": 20, "pauses_seconds": (1, 60)} | options
        self.jtop = Jtop(1.0, True, (sys.executable, "-c", f"import sys\n{script}"), str(socket), **options)
        self.socket = socket

    def read(self, second):
        return self.jtop.read(int(second * SECOND))

    def until(self, second, claim):
        """Read at this time, over and over, until what the probe does has arrived."""
        box = []

        def look():
            box[:] = [self.read(second)]
            return claim(box[0])

        wait_for(look)
        return box[0]


@pytest.fixture
def watch(tmp_path):
    """Return a function that starts watching a script."""
    watches = []

    def start(script, **options):
        watches.append(Watch(tmp_path, script, **options))
        return watches[-1]

    yield start
    for one in watches:
        one.jtop.close()


def says(*messages, then="input()"):
    lines = "".join(f"print({json.dumps(json.dumps(message))}, flush=True)\n" for message in messages)
    return lines + then


def sample(second):
    return {"sample": SAMPLE, "time_ns": int(second * SECOND)}


HELLO = {"hello": {"interval": 1.0, "version": "7.2.2"}}


def is_up(reading):
    return reading is not None and reading.is_up


def is_down(reading):
    return reading is not None and not reading.is_up and "waiting" not in reading.detail


def test_a_sample_keeps_the_time_at_which_it_was_taken(watch):
    jtop = watch(says(HELLO, sample(99.5)))

    reading = jtop.until(100, is_up)

    assert reading.values["power_mode"].value == "15W"
    assert (reading.time_ns, reading.version, reading.detail) == (99.5 * SECOND, "7.2.2", "")


def test_before_the_first_sample_there_is_a_reading_with_nothing_in_it(watch):
    jtop = watch(says(HELLO))
    jtop.read(100)

    reading = jtop.read(101)

    assert not reading.is_up
    assert reading.detail == "waiting for the first sample"


def test_a_probe_that_falls_silent_is_ended_and_started_again_after_a_pause(watch):
    jtop = watch(says(HELLO, sample(100)))
    jtop.until(100, is_up)

    assert is_up(jtop.read(104.9))
    late = jtop.read(105)
    assert not late.is_up
    assert late.detail == "silent for 5.0 s"
    assert jtop.jtop.start_count == 1
    jtop.read(106)
    assert jtop.jtop.start_count == 2


def test_a_probe_that_never_samples_gets_the_time_of_a_slow_start_and_no_more(watch):
    jtop = watch(says(HELLO))
    jtop.until(100, lambda reading: reading is not None and reading.version == "7.2.2")

    assert jtop.read(119.9).detail == "waiting for the first sample"
    assert jtop.read(120).detail == "silent for 20.0 s"


def test_a_stopped_probe_is_ended_all_the_same(watch):
    jtop = watch(says(HELLO, sample(100), then="import os; os.kill(os.getpid(), 19)"))
    jtop.until(100, is_up)

    assert is_down(jtop.read(110))


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("The jtop.service is not active. Please run:", "systemctl restart jtop.service"),
        ("I can't access jtop.service.", "usermod -aG jtop"),
        ("Mismatch version jtop service: [7.2.2] and client: [4.3.2]. Please run:", "install -U jetson-stats"),
        ("jetson-stats is not installed for /usr/bin/python3", "install -U jetson-stats"),
        ("EOFError: ", ""),
    ],
)
def test_the_reason_of_an_end_is_told_with_its_remedy(watch, reason, remedy):
    detail = watch(says({"end": reason}, then="")).until(100, is_down).detail

    assert detail.startswith(reason.replace(" Please run:", "").rstrip(". "))
    assert remedy in detail
    assert "Please run" not in detail


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "ended without a word"),
        ("print('Traceback: oh', flush=True)\ninput()", "cannot be read: JSONDecodeError"),
        ("print('[1, 2]', flush=True)\ninput()", "cannot be read: TypeError"),
        ("print('{\"sample\": {}}', flush=True)\ninput()", "cannot be read: KeyError"),
        ("print('x' * (1 << 21), flush=True)\ninput()", "a line without end"),
    ],
)
def test_a_probe_that_talks_nonsense_is_ended_and_named(watch, script, reason):
    assert reason in watch(script).until(100, is_down).detail


def test_pauses_between_starts_double_up_to_their_limit(watch):
    jtop = watch(says({"end": "no"}, then=""), pauses_seconds=(1, 4))
    starts, second = [], 100.0
    while len(starts) < 6:
        before = jtop.jtop.start_count
        jtop.read(second)
        if jtop.jtop.start_count > before:
            starts.append(second)
            jtop.until(second, is_down_again(jtop))
        second += 0.5

    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses == [1, 2, 4, 4, 4]


def is_down_again(jtop):
    return lambda reading: (
        is_down(reading) and (jtop.jtop.start_count == 1 or f"started {jtop.jtop.start_count} times" in reading.detail)
    )


def test_a_sample_ends_the_growing_of_the_pauses(watch, tmp_path):
    """The first two probes fail, the third samples and ends: the fourth follows after the shortest pause."""
    count = tmp_path / "count"
    script = (
        f"from pathlib import Path; count = Path({str(count)!r})\n"
        "count.touch(); n = len(count.read_text()); count.write_text('x' * (n + 1))\n"
        "if n == 2: print('%s', flush=True)\n" % json.dumps(sample(103)) + 'print(\'{"end": "no"}\', flush=True)'
    )
    jtop = watch(script)
    for second in (100, 101):
        jtop.read(second)
        jtop.until(second, is_down_again(jtop))
    jtop.read(103)
    jtop.until(103, lambda reading: reading.is_up and "no" in reading.detail)
    jtop.read(103.9)
    assert jtop.jtop.start_count == 3

    jtop.read(104)

    assert jtop.jtop.start_count == 4


def test_a_fresh_sample_stands_although_the_probe_has_just_ended(watch):
    jtop = watch(says(sample(100), {"end": "lost"}, then=""))

    reading = jtop.until(101, lambda reading: is_up(reading) and reading.detail)

    assert reading.detail == "lost"
    assert not jtop.read(105).is_up


def test_the_next_probe_asks_for_the_interval_that_the_service_has(watch):
    """A client that asks for less than another client has set is given up by jtop after three of its own."""
    slow = {"hello": {"interval": 5.0, "version": "7.2.2"}}
    told = "import json; print(json.dumps({'end': 'asked for ' + sys.argv[1]}), flush=True)"
    jtop = watch(says(slow, then=told))
    assert jtop.until(100, is_down).detail == "asked for 1.0"

    jtop.read(101)

    assert "asked for 5.0" in jtop.until(101, lambda reading: "5.0" in reading.detail).detail


def test_the_patience_is_four_of_the_service_s_intervals(watch):
    slow = {"hello": {"interval": 5.0, "version": "7.2.2"}}
    jtop = watch(says(slow, sample(100)))
    jtop.until(100, is_up)

    assert is_up(jtop.read(119))
    assert not jtop.read(120).is_up


def test_without_a_socket_no_process_is_started(tmp_path):
    jtop = Jtop(1.0, True, ("/absent",), str(tmp_path / "absent.sock"))

    reading = jtop.read(0)

    assert "not active" in reading.detail
    assert "systemctl restart" in reading.detail
    assert jtop.start_count == 0
    assert Jtop(1.0, False, ("/absent",), str(tmp_path / "absent.sock")).read(0) is None


def test_a_service_that_appears_is_connected_to_at_once(watch):
    jtop = watch(says(HELLO, sample(101)))
    jtop.socket.unlink()
    assert is_down(jtop.read(100))

    jtop.socket.touch()

    assert is_up(jtop.until(101, is_up))


def test_a_service_that_comes_back_is_not_kept_waiting_for_old_failures(watch):
    jtop = watch(says({"end": "no"}, then=""), pauses_seconds=(60, 60))
    jtop.until(100, is_down)
    jtop.socket.unlink()
    jtop.read(101)
    jtop.socket.touch()

    jtop.read(102)

    assert jtop.jtop.start_count == 2


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    (tmp_path / "jtop.sock").touch()
    jtop = Jtop(1.0, True, ("/absent/python",), str(tmp_path / "jtop.sock"))

    assert jtop.read(0).detail == "/absent/python: No such file or directory"


def test_a_time_in_the_future_is_now(watch):
    assert watch(says(sample(1000))).until(100, is_up).time_ns == 100 * SECOND


def test_no_process_is_left_when_the_watcher_closes(watch, tmp_path):
    note = tmp_path / "pid"
    noting = f"import os; from pathlib import Path; Path({str(note)!r}).write_text(str(os.getpid()))\n"
    jtop = watch(noting + says(HELLO, sample(100)))
    jtop.until(100, is_up)
    pid = int(note.read_text())
    assert os.path.exists(f"/proc/{pid}")

    jtop.jtop.close()

    assert not os.path.exists(f"/proc/{pid}")
