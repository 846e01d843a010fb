"""What jtop says, in our units and without its placeholders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.telemetry.jtop_sample import DOUBTFUL_ZEROS, above_zero, hertz, to_reading, without_doubtful_zeros

ORIN = {
    "uptime": 662.75,
    "gpu": {"gpu": {"status": {"load": 97.0}, "freq": {"cur": 306000, "max": 1020000}}},
    "mem": {
        "RAM": {"tot": 7802864, "shared": 576000},
        "EMC": {"cur": 2133000, "max": 2133000, "val": 42, "online": True},
    },
    "temperature": {"gpu": {"temp": 47.0, "online": True}, "cv0": {"temp": -256, "online": False}},
    "power": {
        "rail": {"VDD_SOC": {"volt": 5064, "curr": 286, "power": 1448, "avg": 9999, "online": True}},
        "tot": {"name": "VDD_IN", "volt": 5072, "curr": 946, "power": 4798, "avg": 9999},
    },
    "fan": {"pwmfan": {"speed": [49.8], "rpm": [1830], "profile": "quiet"}},
    "processes": [[77, "root", "I", "Graphic", 20, "S", 1.0, 1000, 512000, "python3"]],
    "nvp": {"model": {"name": "15W", "id": 0}},
}


def bare(table):
    return {name: value.value for name, value in table.items()}


def test_every_unit_is_a_base_unit():
    reading = to_reading(ORIN, 5, "7.2.2")

    assert bare(reading.values) == {
        "gpu_utilization_ratio": pytest.approx(0.97),
        "gpu_frequency_hertz": 306000000,
        "gpu_frequency_max_hertz": 1020000000,
        "gpu_memory_bytes": 576000 * 1024,
        "emc_utilization_ratio": pytest.approx(0.42),
        "emc_frequency_hertz": 2133000000,
        "power_mode": "15W",
    }
    assert bare(reading.fans) == {"pwmfan": pytest.approx(0.498)}
    assert reading.fans["pwmfan"].facts == {"rpm": 1830}
    assert reading.processes == {77: {"gpu_memory_bytes": 512000 * 1024}}
    assert (reading.source, reading.time_ns, reading.version) == ("jtop", 5, "7.2.2")


def test_a_total_with_a_name_is_the_input_rail():
    rails = to_reading(ORIN, 0).rails

    assert bare(rails) == {"VDD_IN": 4.798, "VDD_SOC": 1.448}
    assert rails["VDD_IN"].facts == {"volts": 5.072, "amperes": 0.946}


def test_a_total_without_a_name_is_a_sum_and_no_rail():
    power = {"rail": ORIN["power"]["rail"], "tot": {"power": 1448, "avg": 1448}}

    assert list(to_reading({**ORIN, "power": power}, 0).rails) == ["VDD_SOC"]


def test_a_sensor_that_is_off_has_no_temperature():
    assert bare(to_reading(ORIN, 0).temperatures) == {"gpu": 47.0}


def test_a_rail_that_is_off_has_no_power():
    power = {"rail": {"VDD_CV": {"power": 0, "online": False}}, "tot": {}}

    assert to_reading({"power": power}, 0).rails == {}


def test_clocks_in_megahertz_and_in_kilohertz_come_out_alike():
    """Thor's clocks are NVML's, in MHz, beside limits from sysfs, in kHz."""
    assert hertz(1575) == hertz(1575000) == 1575000000
    assert hertz(0) is None


def test_two_fans_are_two():
    fans = to_reading({"fan": {"pwmfan": {"speed": [10.0, 20.0]}}}, 0).fans

    assert bare(fans) == {"pwmfan": 0.1, "pwmfan-2": 0.2}


def test_a_zero_that_may_mean_unknown_is_not_shown_until_it_was_seen_to_move():
    idle = {**ORIN, "gpu": {"gpu": {"status": {"load": 0.0}}}, "mem": {"RAM": {"shared": 0}}}
    reading = to_reading(idle, 0)
    assert bare(reading.values)["gpu_utilization_ratio"] == 0.0

    assert not DOUBTFUL_ZEROS & without_doubtful_zeros(reading, above_zero(reading)).values.keys()
    proven = above_zero(to_reading(ORIN, 0))
    assert without_doubtful_zeros(reading, proven).values["gpu_utilization_ratio"].value == 0.0


@pytest.mark.parametrize("part", [part for part in ORIN if part != "uptime"])
@pytest.mark.parametrize("nothing", [None, {}, []])
def test_a_part_that_is_missing_costs_only_itself(part, nothing):
    whole = to_reading(ORIN, 0)
    rest = to_reading({**ORIN, part: nothing}, 0)

    kept = [bare(table).items() for table in (rest.values, rest.rails, rest.temperatures, rest.fans)]
    all_of_it = [bare(table).items() for table in (whole.values, whole.rails, whole.temperatures, whole.fans)]
    assert all(mine <= theirs for mine, theirs in zip(kept, all_of_it, strict=True))
    assert sum(map(len, kept)) >= sum(map(len, all_of_it)) - 3


anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["temp", "power", "tot", "x"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["gpu", "mem", "temperature", "power", "nvp"]), anything))
def test_a_sample_of_another_shape_gives_less_and_raises_only_what_the_watcher_expects(sample):
    try:
        to_reading(sample, 0)
    except (LookupError, TypeError, ValueError, AttributeError):
        pass
