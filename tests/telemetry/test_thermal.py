"""Temperatures, their limits, and the fans."""

import pytest

from tests.telemetry.jetson_emulation.boards import BOARDS, JETSONS, zone_key
from tests.telemetry.jetson_emulation.files import put
from titand.telemetry.thermal import Fans, ThermalZones


@pytest.mark.parametrize("name", BOARDS)
def test_every_zone_that_is_on_is_read_with_its_limits(build, name):
    tree = build(name)

    reading = ThermalZones(tree.sys).read(0)

    expected = {zone: celsius for zone, celsius in tree.board.zones.items() if celsius is not None}
    assert {zone: value.value for zone, value in reading.temperatures.items()} == expected
    for value in reading.temperatures.values():
        assert value.facts == {"limits": {"passive": 99.0, "critical": 104.5}}


def test_a_sensor_that_is_off_is_absent_and_named(build):
    reading = ThermalZones(build("orin-nano").sys).read(0)

    assert reading.detail == "off: cv0-thermal, cv1-thermal, cv2-thermal"


@pytest.mark.parametrize("text", ["", "-256000", "garbage", "-2147483648"])
def test_a_placeholder_is_no_temperature(build, text):
    tree = build("orin-nano")
    put(tree.path("temp.gpu"), text)

    reading = ThermalZones(tree.sys).read(0)

    assert "gpu-thermal" not in reading.temperatures
    assert "gpu-thermal" in reading.detail
    assert "cpu-thermal" in reading.temperatures


def test_frost_is_a_temperature(build):
    tree = build("orin-nano")
    tree.set("temp.gpu", -12.5)

    assert ThermalZones(tree.sys).read(0).temperatures["gpu-thermal"].value == -12.5


def test_with_all_sensors_off_there_is_a_reading_with_nothing_in_it(build):
    tree = build("agx-orin")
    for zone in tree.board.zones:
        tree.set(zone_key(zone), None)

    reading = ThermalZones(tree.sys).read(0)

    assert not reading.is_up
    assert "tj-thermal" in reading.detail


def test_the_lowest_trip_point_of_a_kind_is_the_limit(build):
    tree = build("pc")
    folder = tree.root / "sys/class/thermal/thermal_zone0"
    for number, (kind, millidegrees) in enumerate((("passive", 80000), ("passive", 90000), ("active", 0)), 2):
        put(folder / f"trip_point_{number}_type", kind)
        put(folder / f"trip_point_{number}_temp", millidegrees)

    limits = ThermalZones(tree.sys).read(0).temperatures["x86_pkg_temp"].facts["limits"]

    assert limits == {"passive": 80.0, "critical": 104.5}


def test_two_zones_of_one_type_are_told_apart(build):
    tree = build("pc")
    put(tree.root / "sys/class/thermal/thermal_zone1/type", "x86_pkg_temp")
    put(tree.root / "sys/class/thermal/thermal_zone1/temp", 51000)

    found = ThermalZones(tree.sys).read(0).temperatures

    assert {zone: value.value for zone, value in found.items()} == {"x86_pkg_temp": 44.0, "x86_pkg_temp-2": 51.0}


@pytest.mark.parametrize("name", JETSONS)
def test_the_fan_of_every_board_is_read(build, name):
    tree = build(name)
    tree.set("fan.pwm", 51)
    tree.set("fan.rpm", 1830)

    ((fan, value),) = Fans(tree.sys).read(0).fans.items()

    assert fan == ("pwm-fan" if name == "nano" else "pwmfan")
    assert (value.value, value.unit, value.facts) == (0.2, "ratio", {"rpm": 1830})


def test_a_fan_with_a_tachometer_of_its_own_needs_no_other(build):
    tree = build("pc")
    for channel, pwm, rpm in ((1, 255, 3000), (2, 0, 0)):
        put(tree.root / f"sys/class/hwmon/hwmon0/pwm{channel}", pwm)
        put(tree.root / f"sys/class/hwmon/hwmon0/fan{channel}_input", rpm)
    put(tree.root / "sys/class/hwmon/hwmon0/name", "nct6775")

    fans = Fans(tree.sys).read(0).fans

    assert {name: (fan.value, fan.facts) for name, fan in fans.items()} == {
        "nct6775": (1.0, {"rpm": 3000}),
        "nct6775-2": (0.0, {"rpm": 0}),
    }


def test_a_machine_without_fans_has_none(build):
    assert Fans(build("pc").sys).read(0) is None


def test_a_machine_without_zones_has_no_temperature(tmp_path):
    assert ThermalZones(str(tmp_path)).read(0) is None
