"""Readings reach a client as the child process wrote them; what was not measured is absent."""

import grpc
import pytest

from tests.front.house import SECONDS, info_of
from titan.v1.telemetry_service_pb2 import GetTelemetryRequest, WatchTelemetryRequest
from titand.clock import SystemClock
from titand.front.telemetry import telemetry_of

READING = {
    "read_time_ns": 0,
    "board": {"model": "Jetson Orin Nano", "l4t": "36.4.3", "kind": "jetson"},
    "values": {
        "board_power_watts": {"value": 7.5, "unit": "watts", "source": "sysfs", "age_seconds": 0.1, "kind": "sum"},
        "memory_available_bytes": {"value": 1024, "unit": "bytes", "source": "procfs", "age_seconds": 0.0},
        "power_mode": {"value": "15W", "unit": "name", "source": "jtop", "age_seconds": 1.0},
    },
    "rails": {"VDD_IN": {"value": 7.0, "unit": "watts", "source": "sysfs", "age_seconds": 0.0}},
    "temperatures": {"cpu": {"value": 45.5, "unit": "celsius", "source": "sysfs", "age_seconds": 0.0}},
    "fans": {},
    "processes": [{"name": "front", "pid": 5, "pss_bytes": 10, "pss_anon_bytes": 6, "shared_bytes": 1, "threads": 4}],
    "sources": [{"name": "jtop", "up": False, "age_seconds": 12.5, "detail": "not installed", "version": ""}],
}


def test_a_reading_goes_over_the_wire_value_by_value():
    telemetry = telemetry_of(READING, read_time_ns=10**18)
    assert telemetry.read_time.ToNanoseconds() == 10**18
    assert (telemetry.board.model, telemetry.board.l4t, telemetry.board.kind) == (
        "Jetson Orin Nano",
        "36.4.3",
        "jetson",
    )
    power = telemetry.values["board_power_watts"]
    assert (power.value, power.source, power.age_seconds, power.kind) == (7.5, "sysfs", 0.1, "sum")
    assert sorted(telemetry.values) == ["board_power_watts", "memory_available_bytes"]  # a name is no measurement
    assert telemetry.rail_power_watts["VDD_IN"].value == 7.0
    assert telemetry.temperatures_celsius["cpu"].value == 45.5
    assert not telemetry.fan_speed_ratios
    (process,) = telemetry.processes
    assert (process.name, process.pid, process.pss_anon_bytes, process.pss_shared_bytes) == ("front", 5, 6, 1)
    (source,) = telemetry.sources
    assert (source.name, source.up, source.detail) == ("jtop", False, "not installed")


def test_an_empty_reading_is_an_empty_message():
    telemetry = telemetry_of({"read_time_ns": 0}, read_time_ns=1)
    assert [field.name for field, _ in telemetry.ListFields()] == ["read_time", "board"]


def test_before_the_first_reading_there_is_none(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        with pytest.raises(grpc.RpcError) as caught:
            stubs.telemetry.GetTelemetry(GetTelemetryRequest(), timeout=SECONDS)
        assert (caught.value.code(), info_of(caught.value).reason) == (grpc.StatusCode.UNAVAILABLE, "NO_READING_YET")


def test_the_time_of_a_reading_is_the_time_of_day_at_which_it_was_made(house):
    here, clock = house(), SystemClock()
    with here.front(), here.stubs() as stubs:
        here.boards.write("telemetry", {**READING, "read_time_ns": clock.monotonic_ns() - 5 * 10**9})
        telemetry = stubs.telemetry.GetTelemetry(GetTelemetryRequest(), timeout=SECONDS)
        age = clock.wall_ns() - telemetry.read_time.ToNanoseconds()
        assert 5 * 10**9 <= age < (5 + SECONDS) * 10**9


def test_a_reading_that_is_too_old_is_none(house):
    here, clock = house(), SystemClock()
    with here.front(), here.stubs() as stubs:
        here.boards.write("telemetry", {**READING, "read_time_ns": clock.monotonic_ns() - 11 * 10**9})
        with pytest.raises(grpc.RpcError) as caught:
            stubs.telemetry.GetTelemetry(GetTelemetryRequest(), timeout=SECONDS)
        assert (caught.value.code(), info_of(caught.value).reason) == (grpc.StatusCode.UNAVAILABLE, "READING_STALE")


def test_a_watch_yields_each_reading_once(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        watch = stubs.telemetry.WatchTelemetry(WatchTelemetryRequest(), timeout=SECONDS)
        for watts in (1.0, 2.0, 3.0):
            values = {"board_power_watts": {"value": watts, "source": "sysfs"}}
            here.boards.write("telemetry", {**READING, "values": values})
            assert next(watch).telemetry.values["board_power_watts"].value == watts
