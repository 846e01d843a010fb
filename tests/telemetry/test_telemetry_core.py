"""The telemetry worker's core on trees of files, at times of our choosing."""

import itertools
import json
import os

import pytest

from tests.telemetry.jetson_emulation.boards import BOARDS
from tests.telemetry.jetson_emulation.files import put
from titand.telemetry.sensors import UNITS, Reading, Value, quantities
from titand.workers.telemetry import TelemetryCore, run

SECOND = 10**9


class StandIn:
    """A jtop sensor that says what it is told."""

    name = "jtop"

    def __init__(self):
        self.reading = None
        self.is_closed = False

    def read(self, now_ns):
        return None if self.reading is None else self.reading._replace(time_ns=now_ns)

    def close(self):
        self.is_closed = True


@pytest.fixture
def core_of(build):
    """Return a function that gives the core of a board, its tree, and its jtop."""

    def start(name):
        tree, jtop = build(name), StandIn()
        return TelemetryCore(0, sys=tree.sys, etc=tree.etc, jtop=jtop), tree, jtop

    return start


@pytest.mark.parametrize("name", BOARDS)
def test_a_reading_of_any_board_is_whole_and_plain(core_of, name):
    core, tree, _ = core_of(name)
    core.watch({"me": os.getpid()})

    core.read(SECOND)
    reading = core.read(2 * SECOND)

    assert json.loads(json.dumps(reading, allow_nan=False)) == reading
    assert reading["read_time_ns"] == 2 * SECOND
    assert reading["board"]["model"] == tree.board.model
    assert {zone: entry["value"] for zone, entry in reading["temperatures"].items()} == {
        zone: celsius for zone, celsius in tree.board.zones.items() if celsius is not None
    }
    assert set(reading["rails"]) == {rail.name for rail in tree.board.rails}
    assert [row["name"] for row in reading["processes"]] == ["me"]
    for name, entry in reading["values"].items():
        assert entry["unit"] == UNITS[name]
        assert entry["age_seconds"] == 0
        assert entry["source"]


@pytest.mark.parametrize(("name", "kind"), [("orin-nano", "measured"), ("agx-orin", "sum"), ("pc", "rapl")])
def test_board_power_says_how_it_was_found(core_of, name, kind):
    core, tree, _ = core_of(name)
    core.read(0)
    if kind == "rapl":
        tree.set("rapl.package-0", 12)

    found = core.read(2 * SECOND)["values"]

    watts = {rail.name: rail.milliwatts / 1000 for rail in tree.board.rails}
    expected = {"measured": watts.get("VDD_IN"), "sum": sum(watts.values()), "rapl": 6.0}[kind]
    assert found["board_power_watts"]["value"] == pytest.approx(expected, abs=0.03)
    assert found["board_power_watts"]["kind"] == kind


def test_energy_is_counted_between_readings_too(core_of):
    """A burst that begins and ends between two readings, seen by the samples of power alone."""
    core, tree, _ = core_of("orin-nano")
    core.read(0)
    for fifth in range(1, 5):
        tree.set("power.VDD_IN", 15000 if fifth in (2, 3) else 5000)
        core.sample_power(fifth * SECOND // 5)
    tree.set("power.VDD_IN", 5000)

    energy = core.read(SECOND)["values"]["energy_joules"]

    samples = [4.8, 5.0, 15.0, 15.0, 5.0, 5.0]
    rule = sum((one + other) / 2 * 0.2 for one, other in itertools.pairwise(samples))
    assert energy["value"] == pytest.approx(rule, rel=2e-3)
    assert energy["coverage_ratio"] == 1.0


def test_a_pause_of_the_worker_is_not_covered(core_of):
    core, _, _ = core_of("orin-nano")
    for fifth in (0, 1, 2, 52, 53):
        core.sample_power(fifth * SECOND // 5)

    energy = core.read(53 * SECOND // 5)["values"]["energy_joules"]

    assert energy["coverage_ratio"] == pytest.approx(3 / 53)
    assert energy["covered_seconds"] == pytest.approx(0.6)


def test_losing_the_input_rail_costs_the_power_and_nothing_else(core_of):
    core, tree, jtop = core_of("orin-nano")
    jtop.reading = Reading("jtop", 0, rails={"VDD_SOC": Value(1.4, "watts")})
    core.read(0)
    tree.set("power.VDD_IN", None)

    reading = core.read(SECOND)

    assert "board_power_watts" not in reading["values"]
    assert set(reading["rails"]) == {"VDD_CPU_GPU_CV", "VDD_SOC"}
    assert reading["temperatures"]
    down = {source["name"]: source["detail"] for source in reading["sources"] if source["detail"]}
    assert "cannot be read: VDD_IN" in down["sysfs-rails"]


def test_a_board_whose_rails_only_jtop_sees_is_metered_through_jtop(core_of):
    core, _, jtop = core_of("pc")
    jtop.reading = Reading("jtop", 0, rails={"VDD_IN": Value(5.0, "watts")})
    for second in range(4):
        reading = core.read(second * SECOND)

    assert reading["values"]["board_power_watts"]["value"] == 5.0
    assert reading["values"]["energy_joules"]["value"] == pytest.approx(15.0)
    assert reading["values"]["board_power_watts"]["source"] == "board (jtop)"


def test_sysfs_is_believed_before_jtop_which_adds_what_only_it_knows(core_of):
    core, tree, jtop = core_of("orin-nano")
    tree.set("gpu.load", 0.25)
    jtop.reading = Reading("jtop", 0, quantities(gpu_utilization_ratio=0.99, emc_utilization_ratio=0.5))

    found = core.read(0)["values"]

    assert (found["gpu_utilization_ratio"]["value"], found["gpu_utilization_ratio"]["source"]) == (0.25, "sysfs-gpu")
    assert found["emc_utilization_ratio"]["source"] == "jtop"


def test_gpu_memory_of_our_own_processes_stands_with_them(core_of):
    core, _, jtop = core_of("orin-nano")
    jtop.reading = Reading("jtop", 0, processes={os.getpid(): {"gpu_memory_bytes": 7}, 1: {"gpu_memory_bytes": 8}})
    core.watch({"selector": os.getpid()})

    (row,) = core.read(0)["processes"]

    assert (row["name"], row["gpu_memory_bytes"]) == ("selector", 7)


def test_a_bad_file_of_every_sensor_leaves_what_needs_no_file(core_of):
    core, tree, _ = core_of("orin-nano")
    for key, place in tree.where.items():
        if isinstance(place, str) and key != "nvpmodel":
            put(tree.path(key), "not a number")
        elif not isinstance(place, str):
            tree.set(key, None)

    reading = core.read(0)

    assert reading["rails"] == reading["temperatures"] == reading["fans"] == {}
    assert "memory_available_bytes" in reading["values"]
    assert not {"gpu_utilization_ratio", "board_power_watts", "energy_joules"} & reading["values"].keys()


def test_closing_the_core_closes_the_watcher(core_of):
    core, _, jtop = core_of("pc")

    core.close()

    assert jtop.is_closed


class Time:
    """A clock that goes on only while somebody waits, and a stop that comes when its time has come."""

    def __init__(self, end, late=0.0):
        self.now, self.end, self.late, self.waits = 0.0, end, late, []

    def monotonic_ns(self):
        return round(self.now * SECOND)

    def wall_ns(self):
        return 0

    def wait(self, timeout):
        self.waits.append(round(timeout, 3))
        self.now += timeout + self.late
        return self.now >= self.end - 1e-6


def test_the_loop_publishes_every_second_and_samples_power_five_times_as_often(core_of):
    core, _, _ = core_of("orin-nano")
    time, published = Time(end=3.0), []

    run(core, published.append, time, time)

    assert [reading["read_time_ns"] / SECOND for reading in published] == [0, 1, 2]
    assert time.waits == [0.2] * 15
    assert published[-1]["values"]["energy_joules"]["coverage_ratio"] == pytest.approx(1.0)


def test_the_loop_sleeps_from_reading_to_reading_where_there_are_no_rails(core_of):
    core, _, _ = core_of("pc")
    time, published = Time(end=3.0), []

    run(core, published.append, time, time)

    assert time.waits == [1.0] * 3


def test_readings_that_were_slept_through_are_not_made_up_for(core_of):
    core, _, _ = core_of("pc")
    time, published = Time(end=14.0, late=3.4), []

    run(core, published.append, time, time)

    assert [reading["read_time_ns"] / SECOND for reading in published] == pytest.approx([0, 4.4, 8.4, 12.4], abs=0.01)
