"""The board's power: never a part for the whole, never one kind for the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.telemetry.jetson_emulation.boards import JETSONS
from titand.telemetry.power import INPUT_RAILS, BoardPower, board_power
from titand.telemetry.rails import Rails
from titand.telemetry.sensors import Reading, Value

SECOND = 10**9
GAP = 3.0
parts = st.dictionaries(st.sampled_from(["VDD_CPU", "VDD_GPU", "VDD_SOC"]), st.floats(0, 50), min_size=1)


def rails(**watts):
    return {name: Value(value, "watts") for name, value in watts.items()}


def reading(second, **watts):
    return Reading("sysfs-rails", int(second * SECOND), rails=rails(**watts))


@given(parts, st.sampled_from(INPUT_RAILS), st.floats(0, 100))
def test_a_measured_input_is_the_board_whatever_its_parts_say(part, name, watts):
    found = board_power(rails(**part, **{name: watts}), {*part, name})

    assert (found.value, found.facts["kind"]) == (watts, "measured")


@given(parts, st.sampled_from(INPUT_RAILS))
def test_without_its_input_rail_a_board_that_has_one_has_no_known_power(part, name):
    assert board_power(rails(**part), {*part, name}) is None


@given(parts, st.data())
def test_a_sum_is_known_only_while_all_of_its_rails_are(part, data):
    found = board_power(rails(**part), part.keys())
    assert found.value == pytest.approx(sum(part.values()))
    assert found.facts == {"kind": "sum", "rails": sorted(part)}

    lost = data.draw(st.sampled_from(sorted(part)))
    rest = {name: watts for name, watts in part.items() if name != lost}
    assert board_power(rails(**rest), part.keys()) is None


@pytest.mark.parametrize("name", JETSONS)
def test_each_board_has_the_power_that_its_rails_allow(build, name):
    tree = build(name)
    sensor, power = Rails(tree.sys), BoardPower(0)
    power.add(sensor.read(0), GAP)

    found = power.read(0).values["board_power_watts"]

    watts = {rail.name: rail.milliwatts / 1000 for rail in tree.board.rails}
    inputs = [watts[rail] for rail in INPUT_RAILS if rail in watts]
    assert found.facts["kind"] == ("measured" if inputs else "sum")
    assert found.value == pytest.approx(inputs[0] if inputs else sum(watts.values()), abs=0.03)


def test_losing_the_input_rail_makes_the_power_unknown_and_leaves_a_gap_in_the_energy():
    power = BoardPower(0)
    for second in (0, 1):
        power.add(reading(second, VDD_IN=10.0, VDD_CPU=2.0), GAP)
    for second in (2, 3, 4, 5):
        power.add(reading(second, VDD_CPU=2.0), GAP)
    lost = power.read(5 * SECOND)
    for second in (6, 7):
        power.add(reading(second, VDD_IN=10.0, VDD_CPU=2.0), GAP)
    back = power.read(8 * SECOND)

    assert "board_power_watts" not in lost.values
    assert "not known" in lost.detail
    assert lost.values["energy_joules"].value == 10.0
    assert back.values["board_power_watts"].value == 10.0
    assert back.values["energy_joules"].value == 20.0
    assert back.values["energy_joules"].facts["coverage_ratio"] == 0.25
    assert back.detail == ""


def test_a_rail_known_to_be_there_counts_before_it_ever_answered():
    power = BoardPower(0)

    power.add(reading(0, VDD_CPU=2.0), GAP, missing={"VDD_IN"})

    assert "board_power_watts" not in power.read(0).values


def test_joules_of_a_sum_and_of_a_measured_input_are_kept_apart():
    power = BoardPower(0)
    for second in (0, 1):
        power.add(reading(second, VDD_CPU=2.0), GAP)
    for second in (2, 3):
        power.add(reading(second, VDD_CPU=2.0, VDD_IN=10.0), GAP)

    found = power.read(3 * SECOND).values["energy_joules"]

    assert (found.value, found.facts["kind"]) == (10.0, "measured")


def test_power_that_is_no_longer_read_goes_away_and_the_energy_stays():
    power = BoardPower(0)
    for second in (0, 1):
        power.add(reading(second, VDD_IN=10.0), GAP)

    late = power.read(101 * SECOND)

    assert "board_power_watts" not in late.values
    assert late.values["energy_joules"].value == 10.0
    assert late.values["energy_joules"].facts["coverage_ratio"] == pytest.approx(1 / 101)
    assert late.time_ns == 101 * SECOND


def test_a_machine_without_rails_has_no_board_power():
    assert BoardPower(0).read(SECOND) is None
