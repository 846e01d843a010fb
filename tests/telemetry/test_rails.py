"""Power rails read from the trees of six boards."""

import pytest

from tests.telemetry.jetson_emulation.boards import JETSONS
from tests.telemetry.jetson_emulation.files import put
from titand.telemetry.rails import Rails


@pytest.mark.parametrize("name", JETSONS)
def test_every_rail_of_every_board_is_read_in_watts(build, name):
    tree = build(name)

    reading = Rails(tree.sys).read(7)

    expected = {rail.name: rail.milliwatts / 1000 for rail in tree.board.rails}
    assert {rail: value.value for rail, value in reading.rails.items()} == pytest.approx(expected, abs=0.01)
    assert (reading.time_ns, reading.detail) == (7, "")


def test_power_is_voltage_times_current(build):
    tree = build("orin-nano")
    tree.set("power.VDD_SOC", (5064, 900))

    rail = Rails(tree.sys).read(0).rails["VDD_SOC"]

    assert rail.value == pytest.approx(5.064 * 0.9)
    assert rail.facts == {"volts": 5.064, "amperes": 0.9}


def test_a_change_is_seen_by_the_next_reading(build):
    tree = build("agx-orin")
    rails = Rails(tree.sys)
    rails.read(0)

    tree.set("power.VDD_CPU_CV", 12000)

    assert rails.read(1).rails["VDD_CPU_CV"].value == pytest.approx(12.0, abs=0.02)


def test_a_machine_without_monitors_has_no_rails(build):
    rails = Rails(build("pc").sys)

    assert rails.read(0) is None
    assert not rails.is_present


@pytest.mark.parametrize("name", JETSONS)
def test_a_rail_that_stops_answering_is_absent_and_named(build, name):
    tree = build(name)
    lost = tree.board.rails[0].name
    rails = Rails(tree.sys)
    rails.read(0)

    tree.set(f"power.{lost}", None)
    reading = rails.read(1)

    assert lost not in reading.rails
    assert len(reading.rails) == len(tree.board.rails) - 1
    assert rails.missing == {lost}
    assert reading.detail == f"cannot be read: {lost}"


def test_a_rail_that_answers_again_is_back(build):
    tree = build("orin-nano")
    rails = Rails(tree.sys)
    tree.set("power.VDD_IN", None)
    assert "VDD_IN" not in rails.read(0).rails

    tree.set("power.VDD_IN", 4800)

    assert "VDD_IN" in rails.read(1).rails
    assert rails.missing == frozenset()


def test_rails_that_were_lost_altogether_are_still_missed(build):
    tree = build("orin-nano")
    rails = Rails(tree.sys)
    rails.read(0)
    (tree.root / "sys/class/hwmon/hwmon1").unlink()
    for rail in tree.board.rails:
        tree.set(f"power.{rail.name}", None)

    assert rails.read(1).rails == {}
    assert rails.missing == {rail.name for rail in tree.board.rails}


def test_a_driver_that_comes_back_under_another_number_is_found(build):
    tree = build("orin-nano")
    rails = Rails(tree.sys)
    rails.read(0)
    classes = tree.root / "sys/class/hwmon"
    device = (classes / "hwmon1").resolve()
    moved = device.rename(device.with_name("hwmon8"))
    (classes / "hwmon1").unlink()
    (classes / "hwmon8").symlink_to(moved)

    rails.read(1)

    assert set(rails.read(2).rails) == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}


def test_a_monitor_that_appears_after_the_start_is_found(build, tmp_path):
    tree = build("orin-nano")
    hidden = (tree.root / "sys/class").rename(tree.root / "sys/later")
    rails = Rails(tree.sys)
    assert rails.read(0) is None

    hidden.rename(tree.root / "sys/class")

    assert "VDD_IN" in rails.read(1).rails


@pytest.mark.parametrize(("file", "text"), [("in3_label", "NC"), ("in3_enable", "0"), ("in3_label", "")])
def test_a_channel_that_is_not_connected_is_no_rail(build, file, text):
    tree = build("orin-nano")
    put(tree.root / "sys/class/hwmon/hwmon1" / file, text)

    reading = Rails(tree.sys).read(0)

    assert set(reading.rails) == {"VDD_IN", "VDD_CPU_GPU_CV"}
    assert reading.detail == ""


def test_a_reading_that_is_no_number_is_no_reading(build):
    tree = build("orin-nano")
    put(tree.root / "sys/class/hwmon/hwmon1/curr1_input", "")

    reading = Rails(tree.sys).read(0)

    assert "VDD_IN" not in reading.rails
    assert "VDD_IN" in reading.detail
