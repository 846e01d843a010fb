"""titand with one step left out: a test has to turn red, or it is no test of that step.

Each row changes a copy of the sources by a few words and runs the test that is to notice. A row whose words are not in
the source any more fails: then the step is somewhere else, and so has the row to be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("titand", "clients", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Break:
    """A way to break titand.

    Attributes:
        what: is left out.
        file: in which.
        old, new: words of it, and what stands there instead.
        test: that must fail.
    """

    what: str
    file: str
    old: str
    new: str
    test: str


POWER = "tests/faults/test_power_cuts.py::test_a_power_cut"
STEPS = "tests/faults/test_crash_points.py"
DAMAGE = "tests/faults/test_damaged_files.py"
FLAKY = "tests/faults/test_flaky_disks.py"
KILLS = "tests/faults/test_kills.py::test_kills_at_random"
STARVED = "tests/faults/test_starvation.py"
SILENT = "tests/faults/test_abuse.py::test_ten_thousand"
SOAK = "tests/faults/test_soak.py::test_nothing_grows and short"
LEDGER = "tests/runtime/test_ledger.py"

BREAKS = [
    Break(
        "no fsync of the folder",
        "titand/storage/files.py",
        "        os.fsync(descriptor)\n    finally",
        "        pass\n    finally",
        POWER,
    ),
    Break(
        "no fsync of the file",
        "titand/storage/files.py",
        "        os.fsync(file.fileno())\n",
        "",
        POWER,
    ),
    # ext4 writes the bytes before it commits a name, unless somebody else's fsync comes between: no cut shows it.
    Break(
        "the rename before the fsync",
        "titand/storage/files.py",
        "        file.flush()\n        os.fsync(file.fileno())\n",
        "        file.flush()\n        final = path.with_name(path.name[1 : -len(PARTIAL)])\n"
        "        os.replace(path, final)\n        os.fsync(file.fileno())\n        os.link(final, path)\n",
        "tests/storage/test_files.py::test_the_bytes_are_durable_before_the_name",
    ),
    Break(
        "no hash of a checkpoint",
        "titand/storage/bundles.py",
        "hashlib.sha256(body).digest() == digest",
        "True",
        f"{DAMAGE}::test_of_three_hundred",
    ),
    Break(
        "no hash of a snapshot",
        "titand/storage/snapshots.py",
        "if digest_rest(opened) != _expected(snapshot, file):",
        "if False:",
        f"{DAMAGE}::test_of_two_hundred_damaged_snapshots",
    ),
    Break(
        "no reading back",
        "titand/storage/files.py",
        "if _read_back(temporary) != written:",
        "if False:",
        f"{STEPS}::test_a_write_that_claims_success",
    ),
    Break(
        "the old file is written over",
        "titand/storage/files.py",
        '    temporary = path.with_name(f".{path.name}{PARTIAL}")\n',
        "    temporary = path\n",
        f"{STEPS}::test_a_kill_or_an_error",
    ),
    Break(
        "only the newest generation is kept",
        "titand/storage/bundles.py",
        "keep: int = 2",
        "keep: int = 1",
        f"{STEPS}::test_a_kill_or_an_error",
    ),
    Break(
        "a damaged checkpoint is deleted",
        "titand/storage/bundles.py",
        "        path.rename(target)\n",
        "        path.unlink()\n",
        f"{DAMAGE}::test_of_three_hundred",
    ),
    Break(
        "what cannot be read is set aside, even when nothing can be read",
        "titand/storage/bundles.py",
        "        if found is None and unreadable is not None:\n            raise unreadable\n",
        "",
        FLAKY,
    ),
    Break(
        "a log that cannot be read is set aside",
        "titand/front/sample_log.py",
        "        except CorruptFile as error:\n",
        "        except (CorruptFile, StorageError) as error:\n",
        FLAKY,
    ),
    Break(
        "no flush of the log of samples",
        "titand/storage/ring_log.py",
        "                with refusals_of(self.path):\n                    self._file.sync()\n",
        "                pass\n",
        POWER,
    ),
    Break(
        "an acknowledgement does not wait for the flush",
        "titand/front/sample_log.py",
        "            ring.flush()\n",
        "            pass\n",
        "tests/faults/test_power_cuts_of_the_service.py",
    ),
    Break(
        "no checksum of a logged sample",
        "titand/storage/ring_file.py",
        "!= checksum:\n            return None",
        "!= checksum and False:\n            return None",
        f"{DAMAGE}::test_of_two_hundred_damaged_logs",
    ),
    Break(
        "the log of samples is read from memory",
        "titand/storage/ring_file.py",
        "        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)\n",
        "",
        FLAKY,
    ),
    Break(
        "samples are acknowledged a moment before they are in the arena",
        "titand/front/admission.py",
        "                stream.require_open()\n                for first_number, count in self._ledger.admit(",
        "                stream.require_open()\n"
        "                stream.accept(stop - start, self._ledger.newest_number() + 1)\n"
        "                stream.changed.notify_all()\n"
        "                stream.changed.wait(0.01)\n"
        "                stream.sequence -= stop - start\n"
        "                for first_number, count in self._ledger.admit(",
        KILLS,
    ),
    Break(
        "a transaction that was cut short is not finished",
        "titand/runtime/journal.py",
        "        self._redo()\n        self._used_ns",
        "        self._used_ns",
        LEDGER,
    ),
    Break(
        "where a stream stands is not remembered",
        "titand/runtime/journal.py",
        "        if stream >= 0:\n",
        "        if stream >= 0 and False:\n",
        KILLS,
    ),
    Break(
        "who was here last is told by the time of day alone",
        "titand/runtime/journal.py",
        "max(self._clock.wall_ns(), self._used_ns + 1)",
        "self._clock.wall_ns()",
        LEDGER,
    ),
    Break(
        "what ended is not started again",
        "titand/runtime/children.py",
        "        if self.pid or not self.restarts.is_due(now):\n",
        "        if self.pid or self.restarts.count or not self.restarts.is_due(now):\n",
        KILLS,
    ),
    Break(
        "workers do not go first when memory runs out",
        "titand/workers/zygote.py",
        'score.write("800")',
        'score.write("0")',
        "tests/faults/test_memory.py",
    ),
    Break(
        "silence alone is taken to be a hang",
        "titand/runtime/supervisor.py",
        " and is_stuck(pid)",
        "",
        STARVED,
    ),
    Break(
        "nothing is taken to be a hang",
        "titand/runtime/supervisor.py",
        "            if silent > _SLOW_FACTOR or",
        "            if False and",
        STARVED,
    ),
    Break(
        "bytes that are no message are left to gRPC",
        "titand/front/server.py",
        ", ReadableRequests()]",
        "]",
        "tests/faults/test_malformed.py::test_bytes_that_are_no_message",
    ),
    Break(
        "there may be any number of connections",
        "titand/front/server.py",
        '        ("grpc.max_allowed_incoming_connections", MOST_CONNECTIONS),\n',
        "",
        SILENT,
    ),
    Break(
        "a connection that says nothing is kept",
        "titand/front/server.py",
        '        ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_SECONDS * 1000)),\n',
        "",
        SILENT,
    ),
    Break(
        "eight kilobytes stay of each sample",
        "titand/front/admission.py",
        '        self._stages.record("admit"',
        '        globals().setdefault("kept", []).append(bytes([1]) * 8000 * count)\n'
        '        self._stages.record("admit"',
        SOAK,
    ),
    Break(
        "a descriptor stays of each visit",
        "titand/front/streams.py",
        "        leaving = threading.Event()\n",
        "        leaving = threading.Event()\n        __import__('os').dup(0)\n",
        SOAK,
    ),
]


@pytest.mark.nightly
@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.what)
def test_what_is_broken_turns_a_test_red(tmp_path, tally, broken):
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)
    path = tmp_path / broken.file
    text = path.read_text()
    assert text.count(broken.old) == 1, f"{broken.file} has changed: say anew how to break it"
    file, _, name = broken.test.partition("::")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "nightly or not nightly",
        file,
        *(("-k", name) if name else ()),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{tmp_path / 'clients/python'}"}

    path.write_text(text.replace(broken.old, broken.new))

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    if " skipped" in done.stdout and " failed" not in done.stdout:
        pytest.skip(f"that test is skipped here: {done.stdout}")
    assert done.returncode == 1, f"no test has noticed: {broken.what}\n{done.stdout}{done.stderr}"
    tally["steps left out on purpose, and noticed"] += 1
