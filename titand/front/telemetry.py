"""TelemetryService: the newest reading of the board, as its child process wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import grpc

from titan.v1 import telemetry_service_pb2 as telemetry_pb
from titand.clock import Clock
from titand.errors import WorkerDown
from titand.front.streams import Streams
from titand.runtime.boards import Boards

WATCH_SECONDS = 0.1  # between two looks at the board
STALE_INTERVALS = 10  # a reading that is older says nothing about now


class TelemetryService:
    """See protos/titan/v1/telemetry_service.proto.

    Args:
        boards: where readings are.
        streams: counts watches.
        interval_seconds: between two readings.
        clock: turns the reading's monotonic time into the time of day.
    """

    def __init__(self, boards: Boards, streams: Streams, interval_seconds: float, clock: Clock) -> None:
        self._boards = boards
        self._streams = streams
        self._stale_seconds = max(STALE_INTERVALS, STALE_INTERVALS * interval_seconds)
        self._clock = clock

    def GetTelemetry(
        self, request: telemetry_pb.GetTelemetryRequest, context: grpc.ServicerContext
    ) -> telemetry_pb.Telemetry:
        """Return the newest reading."""
        report = self._boards.read("telemetry")
        if report is None:
            raise WorkerDown("NO_READING_YET", "There is no reading yet.", "Ask again in a second.")
        age = (self._clock.monotonic_ns() - report.content["read_time_ns"]) / 1e9
        if age > self._stale_seconds:
            text = f"The last reading is {age:.0f} s old: what was read then says nothing about now."
            raise WorkerDown("READING_STALE", text, "Its process hangs or keeps ending; see the daemon's log.")
        return self._telemetry(report.content)

    def WatchTelemetry(
        self, request: telemetry_pb.WatchTelemetryRequest, context: grpc.ServicerContext
    ) -> Iterator[telemetry_pb.WatchTelemetryResponse]:
        """Yield readings as they are made."""
        shown_ns = 0
        with self._streams.long_call(context) as leaving:
            while not leaving.is_set():
                report = self._boards.read("telemetry")
                if report is not None and report.written_ns != shown_ns:
                    shown_ns = report.written_ns
                    yield telemetry_pb.WatchTelemetryResponse(telemetry=self._telemetry(report.content))
                leaving.wait(WATCH_SECONDS)
            self._streams.require_running()

    def _telemetry(self, reading: Mapping[str, Any]) -> telemetry_pb.Telemetry:
        age_ns = self._clock.monotonic_ns() - reading["read_time_ns"]
        return telemetry_of(reading, self._clock.wall_ns() - age_ns)


def telemetry_of(reading: Mapping[str, Any], read_time_ns: int) -> telemetry_pb.Telemetry:
    """Return a reading as it goes over the wire. What is not a number has no place in a measurement.

    Args:
        reading: see `titand.workers.telemetry`.
        read_time_ns: when it was made, wall clock.
    """
    board = reading.get("board") or {}
    telemetry = telemetry_pb.Telemetry(
        board=telemetry_pb.Board(
            model=board.get("model") or "", kind=board.get("kind") or "", l4t=board.get("l4t") or ""
        ),
        values=_measurements(reading.get("values")),
        rail_power_watts=_measurements(reading.get("rails")),
        temperatures_celsius=_measurements(reading.get("temperatures")),
        fan_speed_ratios=_measurements(reading.get("fans")),
        processes=[_usage(each) for each in reading.get("processes", ())],
        sources=[
            telemetry_pb.Source(
                name=each["name"],
                up=each["up"],
                age_seconds=each.get("age_seconds"),
                detail=each.get("detail"),
                version=each.get("version"),
            )
            for each in reading.get("sources", ())
        ],
    )
    telemetry.read_time.FromNanoseconds(read_time_ns)
    return telemetry


def _measurements(plain: Mapping[str, Any] | None) -> dict[str, telemetry_pb.Measurement]:
    return {
        name: telemetry_pb.Measurement(
            value=each["value"], source=each.get("source"), age_seconds=each.get("age_seconds"), kind=each.get("kind")
        )
        for name, each in (plain or {}).items()
        if isinstance(each.get("value"), (int, float))
    }


def _usage(plain: Mapping[str, Any]) -> telemetry_pb.ProcessUsage:
    return telemetry_pb.ProcessUsage(
        name=plain["name"],
        pid=plain["pid"],
        pss_bytes=plain.get("pss_bytes"),
        pss_anon_bytes=plain.get("pss_anon_bytes"),
        pss_shared_bytes=plain.get("shared_bytes"),
        cpu_ratio=plain.get("cpu_ratio"),
        thread_count=plain.get("threads"),
        descriptor_count=plain.get("fds"),
    )
