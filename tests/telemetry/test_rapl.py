"""Energy counters of a PC."""

import pytest

from tests.telemetry.jetson_emulation.files import put
from titand.telemetry.rapl import Rapl

SECOND = 10**9


def zone(tree, number, name, microjoules):
    folder = tree.root / f"sys/class/powercap/intel-rapl:{number}"
    put(folder / "name", name)
    put(folder / "energy_uj", microjoules)
    put(folder / "max_energy_range_uj", 10**12)
    return folder / "energy_uj"


def test_package_and_memory_add_up_to_the_processor(build):
    tree = build("pc")
    rapl = Rapl(0, tree.sys)
    rapl.read(0)
    tree.set("rapl.package-0", 30)
    tree.set("rapl.dram", 6)

    reading = rapl.read(2 * SECOND)

    assert reading.values["energy_joules"].value == pytest.approx(36)
    assert reading.values["board_power_watts"].value == pytest.approx(18)
    assert reading.values["board_power_watts"].facts == {"kind": "rapl"}
    assert reading.values["energy_joules"].facts["coverage_ratio"] == 1.0


def test_the_first_reading_has_no_power_yet(build):
    assert "board_power_watts" not in Rapl(0, build("pc").sys).read(0).values


def test_a_counter_that_wraps_goes_on(build):
    tree = build("pc")
    tree.set("rapl.package-0", 262143.3)  # its range ends at 262143.328850 J
    rapl = Rapl(0, tree.sys)
    rapl.read(0)
    tree.set("rapl.package-0", 9.97115)

    assert rapl.read(SECOND).values["energy_joules"].value == pytest.approx(10.000001)


def test_parts_of_a_package_and_its_twin_are_not_counted_again(build):
    tree = build("pc")
    paths = {name: zone(tree, number, name, 0) for number, name in (("0:0", "core"), ("0:1", "uncore"))}
    twin = tree.root / "sys/class/powercap/intel-rapl-mmio:0"
    put(twin / "name", "package-0")
    put(twin / "energy_uj", 0)
    rapl = Rapl(0, tree.sys)
    rapl.read(0)
    tree.set("rapl.package-0", 5)
    for path in [*paths.values(), twin / "energy_uj"]:
        put(path, 10**9)

    assert rapl.read(SECOND).values["energy_joules"].value == pytest.approx(5)


def test_a_platform_counter_holds_all_others(build):
    tree = build("pc")
    platform = zone(tree, 7, "psys", 0)
    rapl = Rapl(0, tree.sys)
    rapl.read(0)
    tree.set("rapl.package-0", 5)
    put(platform, 9 * 10**6)

    assert rapl.read(SECOND).values["energy_joules"].value == pytest.approx(9)


def test_a_counter_that_is_forbidden_says_so_and_is_no_zero(build):
    tree = build("pc")
    put(tree.path("rapl.dram"), "")

    reading = Rapl(0, tree.sys).read(0)

    assert not reading.is_up
    assert "dram" in reading.detail


def test_a_machine_without_counters_has_none(build):
    assert Rapl(0, build("orin-nano").sys).read(0) is None
