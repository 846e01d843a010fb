"""The process around the telemetry core: reads sensors, writes its board, ends with the supervisor."""

from __future__ import annotations

from titand.clock import Clock, SystemClock
from titand.config_text import config_from_json
from titand.runtime.boards import Boards
from titand.runtime.channels import Channel, ChannelClosed
from titand.runtime.descriptors import Descriptors, read_text
from titand.telemetry.jtop import Jtop
from titand.telemetry.sysfs import identify
from titand.workers.signals import Stop
from titand.workers.telemetry import TelemetryCore, run

_BEAT_SECONDS = 1.0


class _Ending:
    """Time to stop: SIGTERM, or the supervisor is gone. Until then, a sign of life however rare readings are."""

    def __init__(self, supervisor: Channel, boards: Boards, clock: Clock) -> None:
        self._stop = Stop()
        self._supervisor = supervisor
        self._boards = boards
        self._clock = clock

    def wait(self, timeout: float) -> bool:
        until_ns = self._clock.monotonic_ns() + int(timeout * 1e9)
        while not self._stop.is_set:
            self._boards.beat("telemetry")
            left = max(0.0, (until_ns - self._clock.monotonic_ns()) / 1e9)
            if self._stop.wait([self._supervisor.fileno()], min(left, _BEAT_SECONDS)):
                try:
                    self._supervisor.receive(0)
                except ChannelClosed:
                    return True
            if left <= _BEAT_SECONDS:
                break
        return self._stop.is_set


def run_telemetry(descriptors: Descriptors) -> int:
    """Run until told to end."""
    clock = SystemClock()
    config = config_from_json(read_text(descriptors.config))
    boards = Boards(descriptors.boards, clock)
    is_jetson = identify().kind == "jetson"
    jtop = Jtop(is_expected=is_jetson) if config.telemetry.jtop == "auto" else None
    core = TelemetryCore(clock.monotonic_ns(), jtop=jtop, interval=config.telemetry.interval_seconds)

    def publish(reading: dict[str, object]) -> None:
        supervisor = boards.read("supervisor")
        if supervisor is not None:
            own = {"supervisor": supervisor.content["pid"]}
            core.watch(own | {p["name"]: p["pid"] for p in supervisor.content["processes"] if p["pid"]})
        boards.write("telemetry", reading)

    try:
        run(core, publish, clock, _Ending(Channel.of_descriptor(descriptors.supervisor), boards, clock))
    finally:
        core.close()
    return 0
