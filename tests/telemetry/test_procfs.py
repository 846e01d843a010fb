"""The machine and its processes, against the same facts counted by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from titand.telemetry.procfs import Machine, ProcessTable, pressure, process_memory

SECOND = 10**9
ROLLUP = """00400000-7ffc0000 ---p 00000000 00:00 0                          [rollup]
Rss:                8840 kB
Pss:                7411 kB
Pss_Anon:           3028 kB
Shared_Clean:       1500 kB
Shared_Dirty:         36 kB
"""


@pytest.fixture
def child():
    """A process of another program, which is there in full, and waits."""
    code = "print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.stdin.close()


def proc_with(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(tmp_path)


def test_memory_is_what_the_kernel_says():
    """Total is fixed; available moves, so it must lie between its values before and after."""
    before = meminfo()
    values = Machine().read(0).values
    after = meminfo()

    assert values["memory_total_bytes"].value == before["MemTotal"]
    low, high = sorted([before["MemAvailable"], after["MemAvailable"]])
    slack = 200 << 20  # other processes of this machine
    assert low - slack <= values["memory_available_bytes"].value <= high + slack


def meminfo():
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines}


def test_utilization_is_known_from_the_second_reading_on_and_is_a_share():
    machine = Machine()
    assert "cpu_utilization_ratio" not in machine.read(0).values

    while "cpu_utilization_ratio" not in (values := machine.read(1).values):
        pass  # until the kernel's clock, of 100 Hz, has ticked

    assert 0 <= values["cpu_utilization_ratio"].value <= 1


def test_the_load_is_that_of_the_kernel():
    load = float(Path("/proc/loadavg").read_text().split()[0])

    assert Machine().read(0).values["load_average_1m"].value == pytest.approx(load, abs=0.5)


def test_pressure_is_the_share_of_waiting_in_the_last_ten_seconds(tmp_path):
    text = "some avg10=12.50 avg60=3.00 avg300=0.00 total=1\nfull avg10=7.00 avg60=0.00 avg300=0.00 total=0\n"
    proc = proc_with(tmp_path, "pressure/memory", text)

    assert pressure(proc, "memory") == 0.125
    assert Machine(proc).read(0).values["memory_pressure_ratio"].value == 0.125
    assert "cpu_pressure_ratio" not in Machine(proc).read(0).values


def test_memory_of_a_process_is_read_in_bytes(tmp_path):
    proc = proc_with(tmp_path, "77/smaps_rollup", ROLLUP)

    assert process_memory(proc, 77) == (7411 * 1024, 3028 * 1024, 1536 * 1024)


def test_memory_of_a_process_is_the_sum_of_its_mappings(child):
    mappings = Path(f"/proc/{child.pid}/smaps").read_text().splitlines()

    memory = process_memory("/proc", child.pid)

    pss = sum(int(line.split()[1]) for line in mappings if line.startswith("Pss:")) * 1024
    assert memory.pss == pytest.approx(pss, rel=0.1)  # smaps rounds each mapping, and other processes come and go
    assert memory.pss_anon < memory.pss


def test_a_kernel_that_does_not_tell_private_memory_leaves_it_unknown(tmp_path):
    old = "".join(line for line in ROLLUP.splitlines(keepends=True) if "Anon" not in line)

    assert process_memory(proc_with(tmp_path, "77/smaps_rollup", old), 77) is None
    assert process_memory(str(tmp_path), 78) is None


def test_a_process_is_described_by_the_kernel_s_own_figures(child):
    (row,) = ProcessTable().read({"child": child.pid}, 0)

    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
    assert (row["name"], row["pid"]) == ("child", child.pid)
    assert row["threads"] == int(status["Threads"])
    assert row["fds"] == len(os.listdir(f"/proc/{child.pid}/fd"))
    assert row["voluntary_switches"] <= int(status["voluntary_ctxt_switches"])


def test_the_processor_share_is_the_time_used_over_the_time_gone_by():
    table, pid = ProcessTable(), os.getpid()
    (first,) = table.read({"me": pid}, 0)
    while sum(os.times()[:2]) < first["cpu_seconds"] + 0.1:
        pass  # use some
    (second,) = table.read({"me": pid}, SECOND)

    assert "cpu_ratio" not in first
    assert second["cpu_ratio"] == pytest.approx(second["cpu_seconds"] - first["cpu_seconds"])
    assert second["cpu_ratio"] >= 0.05


def test_memory_is_measured_now_and_then_and_its_age_is_told(tmp_path):
    pid = os.getpid()
    table = ProcessTable(proc_with(tmp_path, f"{pid}/smaps_rollup", ROLLUP), memory_seconds=10)
    table.read({"me": pid}, 0)
    proc_with(tmp_path, f"{pid}/smaps_rollup", ROLLUP.replace("7411", "9000"))

    (early,) = table.read({"me": pid}, 4 * SECOND)
    (late,) = table.read({"me": pid}, 10 * SECOND)

    assert (early["pss_bytes"], early["memory_age_seconds"]) == (7411 * 1024, 4.0)
    assert (late["pss_bytes"], late["memory_age_seconds"]) == (9000 * 1024, 0.0)


def test_a_process_that_is_gone_has_no_row_and_no_figures_of_the_one_before(child):
    table = ProcessTable()
    assert len(table.read({"child": child.pid, "me": os.getpid()}, 0)) == 2
    child.stdin.close()
    child.wait()

    rows = table.read({"child": child.pid, "me": os.getpid()}, SECOND)

    assert [row["name"] for row in rows] == ["me"]
