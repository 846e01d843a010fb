"""Precedence, staleness, and sensors that fail."""

import json

import pytest

from titand.telemetry.sensors import Reading, Value, merge, quantities, read_safely

SECOND = 10**9


def reading(source, second=10, detail="", **values):
    return Reading(source, int(second * SECOND), values=quantities(**values), detail=detail)


def celsius(**zones):
    return {zone: Value(degrees, "celsius") for zone, degrees in zones.items()}


def test_the_first_reading_that_has_a_quantity_is_believed():
    merged = merge(
        [
            reading("sysfs", gpu_utilization_ratio=0.5),
            reading("jtop", gpu_utilization_ratio=0.9, emc_utilization_ratio=0.1),
        ],
        10 * SECOND,
    )

    assert {name: (entry["value"], entry["source"]) for name, entry in merged.values.items()} == {
        "gpu_utilization_ratio": (0.5, "sysfs"),
        "emc_utilization_ratio": (0.1, "jtop"),
    }


def test_every_value_tells_its_unit_its_source_and_its_age():
    merged = merge([reading("jtop", second=8.5, emc_frequency_hertz=2133000000)], 10 * SECOND)

    assert merged.values["emc_frequency_hertz"] == {
        "value": 2133000000,
        "unit": "hertz",
        "source": "jtop",
        "age_seconds": 1.5,
    }


def test_a_stale_reading_gives_way_to_a_fresh_one_of_less_precedence_and_is_listed_as_down():
    old, fresh = reading("jtop", second=1, power_mode="15W"), reading("other", power_mode="7W")

    merged = merge([old, fresh], 10 * SECOND, stale_seconds=9)

    assert merged.values["power_mode"]["value"] == "7W"
    assert [(source["name"], source["up"]) for source in merged.sources] == [("jtop", False), ("other", True)]
    assert merged.sources[0]["detail"] == "the last reading is 9.0 s old"


def test_what_no_reading_has_is_absent_and_not_zero():
    merged = merge([reading("procfs", gpu_utilization_ratio=None, swap_used_bytes=0)], 10 * SECOND)

    assert list(merged.values) == ["swap_used_bytes"]


def test_zones_of_two_sources_are_not_mixed():
    sysfs = Reading("sysfs", 0, temperatures=celsius(**{"gpu-thermal": 47.0}))
    jtop = Reading("jtop", 0, temperatures=celsius(gpu=47.5, nvme=60.0))

    assert list(merge([sysfs, jtop], 0).temperatures) == ["gpu-thermal"]
    assert list(merge([Reading("sysfs", 0), jtop], 0).temperatures) == ["gpu", "nvme"]


def test_rails_of_two_sources_complete_each_other():
    sysfs = Reading("sysfs", 0, rails={"VDD_IN": Value(5.0, "watts")})
    jtop = Reading("jtop", 0, rails={"VDD_IN": Value(6.0, "watts"), "VDD_SOC": Value(1.0, "watts")})

    found = merge([sysfs, jtop], 0).rails

    assert {name: entry["value"] for name, entry in found.items()} == {"VDD_IN": 5.0, "VDD_SOC": 1.0}


def test_a_reading_from_the_future_is_new_and_not_negative():
    """Two processes read the clock, so a sample may seem to be taken after it is asked for."""
    merged = merge([reading("jtop", second=11, power_mode="15W")], 10 * SECOND)

    assert merged.values["power_mode"]["age_seconds"] == 0


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), ValueError("12 apples"), RuntimeError("driver")])
def test_a_sensor_that_breaks_costs_only_itself(error):
    class Broken:
        name = "broken"

        def read(self, now_ns):
            raise error

    merged = merge([read_safely(Broken(), 10 * SECOND), reading("procfs", load_average_1m=0.5)], 10 * SECOND)

    assert "load_average_1m" in merged.values
    assert merged.sources[0]["up"] is False
    assert type(error).__name__ in merged.sources[0]["detail"]


def test_a_quantity_without_a_unit_is_refused():
    with pytest.raises(KeyError):
        quantities(flux_capacitance=1.21)


def test_a_merged_reading_is_plain_enough_for_json():
    facts = {"kind": "measured", "rails": ["VDD_IN"]}
    power = Reading("board", 0, values={"board_power_watts": Value(5.0, "watts", facts)})
    merged = merge([power, Reading("sysfs", 0, fans={"fan": Value(0.5, "ratio", {"rpm": 7})})], 0)._asdict()

    assert json.loads(json.dumps(merged, allow_nan=False)) == merged
    assert merged["values"]["board_power_watts"]["kind"] == "measured"
