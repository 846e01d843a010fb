"""Temperatures with the limits of their zones, and the fans that work against them."""

from __future__ import annotations

import os

from titand.telemetry.sensors import Reading, Value
from titand.telemetry.sysfs import entries, read_int, read_text

OFF = -256_000  # millidegrees, or less: what drivers say for a sensor without power
PWM_FULL = 255


class ThermalZones:
    """The sensor of the thermal zones: a zone each, named by its type, with the trip points of its kind.

    A zone whose sensor is off (its part of the chip has no power) is absent, and named in the detail.
    """

    name = "sysfs-thermal"

    def __init__(self, sys: str = "/sys") -> None:
        self._folder = os.path.join(sys, "class/thermal")
        self._zones: dict[str, tuple[str, dict[str, float]]] = {}

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`."""
        if not self._zones:
            self._zones = find_zones(self._folder)
        if not self._zones:
            return None
        temperatures, silent = {}, []
        for zone, (path, limits) in self._zones.items():
            millidegrees = read_int(path)
            if millidegrees is None or millidegrees <= OFF:
                silent.append(zone)
            else:
                facts = {"limits": limits} if limits else {}
                temperatures[zone] = Value(millidegrees / 1000, "celsius", facts)
        detail = f"off: {', '.join(silent)}" if silent else ""
        return Reading(self.name, now_ns, temperatures=temperatures, detail=detail)


def find_zones(folder: str) -> dict[str, tuple[str, dict[str, float]]]:
    """Return the zones by type: the path of the temperature, and the limits in celsius by kind.

    Of several trip points of one kind the lowest counts. A second zone of the same type is numbered: acpitz,
    acpitz-2.
    """
    found: dict[str, tuple[str, dict[str, float]]] = {}
    for zone in entries(folder, "thermal_zone"):
        name = kind = read_text(os.path.join(zone, "type")) or os.path.basename(zone)
        number = 2
        while name in found:
            name, number = f"{kind}-{number}", number + 1
        found[name] = (os.path.join(zone, "temp"), _limits(zone))
    return found


def _limits(zone: str) -> dict[str, float]:
    limits: dict[str, float] = {}
    for path in entries(zone, "trip_point_"):
        if not path.endswith("_type"):
            continue
        kind, millidegrees = read_text(path), read_int(path[: -len("type")] + "temp")
        if kind and millidegrees is not None and millidegrees > 0:
            limits[kind] = min(millidegrees / 1000, limits.get(kind, float("inf")))
    return limits


class Fans:
    """The sensor of the fans: drive as a ratio, speed where there is a tachometer."""

    name = "sysfs-fans"

    def __init__(self, sys: str = "/sys") -> None:
        self._sys = sys

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`."""
        fans = self._hwmon_fans() or self._legacy_fan()
        return Reading(self.name, now_ns, fans=fans) if fans else None

    def _hwmon_fans(self) -> dict[str, Value]:
        fans, tachometers = {}, []
        for monitor in entries(os.path.join(self._sys, "class/hwmon"), "hwmon"):
            kind = read_text(os.path.join(monitor, "name")) or os.path.basename(monitor)
            rpm = read_int(os.path.join(monitor, "rpm"))  # NVIDIA's tachometer is a monitor of its own
            if rpm is not None:
                tachometers.append(rpm)
            for channel in (1, 2, 3, 4):
                pwm = read_int(os.path.join(monitor, f"pwm{channel}"))
                if pwm is not None:
                    name = kind if channel == 1 else f"{kind}-{channel}"
                    fans[name] = _fan(pwm, read_int(os.path.join(monitor, f"fan{channel}_input")))
        if len(fans) == len(tachometers) == 1:
            ((name, fan),) = fans.items()
            fans[name] = fan._replace(facts={"rpm": tachometers[0]})
        return fans

    def _legacy_fan(self) -> dict[str, Value]:
        folder = os.path.join(self._sys, "devices/pwm-fan")
        pwm = read_int(os.path.join(folder, "cur_pwm"))
        if pwm is None:
            pwm = read_int(os.path.join(folder, "target_pwm"))
        if pwm is None:
            return {}
        return {"pwm-fan": _fan(pwm, read_int(os.path.join(folder, "rpm_measured")))}


def _fan(pwm: int, rpm: int | None) -> Value:
    return Value(pwm / PWM_FULL, "ratio", {} if rpm is None else {"rpm": rpm})
