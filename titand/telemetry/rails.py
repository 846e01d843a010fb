"""Power rails from sysfs: the INA3221 and INA238 monitors of a Jetson, readable by everybody.

Power is voltage times current, which every driver gives: hwmon as in1_input (mV) and curr1_input (mA), the older
iio driver of the Nano as in_voltage0_input (mV) and in_current0_input (mA).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from titand.telemetry.sensors import Reading, Value
from titand.telemetry.sysfs import entries, read_int, read_text

MONITORS = ("ina3221", "ina3221x", "ina238")
CHANNELS = (1, 2, 3)  # higher numbers of the INA3221 are shunt voltages and their sum, no rails


class Rail(NamedTuple):
    """Where one rail is read."""

    millivolts: str
    milliamperes: str


class Rails:
    """The sensor of the power rails.

    A rail once seen is a rail for good: if it can no longer be read it is named in the detail, and is not
    forgotten. `missing` says so to whoever adds rails up.
    """

    name = "sysfs-rails"

    def __init__(self, sys: str = "/sys") -> None:
        self._sys = sys
        self._rails: dict[str, Rail] = {}
        self.missing: frozenset[str] = frozenset()

    @property
    def is_present(self) -> bool:
        """Whether this machine has shown any rail."""
        return bool(self._rails)

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`."""
        if not self._rails or self.missing:  # drivers load late, and come back under another number
            self._rails.update(find_rails(self._sys))
        if not self._rails:
            return None
        measured = {name: value for name, rail in self._rails.items() if (value := measure(rail)) is not None}
        self.missing = frozenset(self._rails) - frozenset(measured)
        detail = f"cannot be read: {', '.join(sorted(self.missing))}" if self.missing else ""
        return Reading(self.name, now_ns, rails=measured, detail=detail)


def measure(rail: Rail) -> Value | None:
    """Return a rail's power now, with its voltage and current, or None when the monitor does not answer."""
    millivolts, milliamperes = read_int(rail.millivolts), read_int(rail.milliamperes)
    if millivolts is None or milliamperes is None:
        return None
    facts = {"volts": millivolts / 1e3, "amperes": milliamperes / 1e3}
    return Value(millivolts * milliamperes / 1e6, "watts", facts)


def find_rails(sys: str) -> dict[str, Rail]:
    """Return the named rails of all power monitors; channels without a name or switched off are left out."""
    found: dict[str, Rail] = {}
    for monitor in entries(os.path.join(sys, "class/hwmon"), "hwmon"):
        if read_text(os.path.join(monitor, "name")) in MONITORS:
            found.update(_hwmon_rails(monitor))
    for device in entries(os.path.join(sys, "bus/i2c/devices")):
        for monitor in entries(device, "iio:device"):
            found.update(_iio_rails(monitor))
    return found


def _hwmon_rails(monitor: str) -> dict[str, Rail]:
    # The INA238 has one channel and no label: on the boards that carry one it measures the board's input, VIN.
    only = "VIN" if read_text(os.path.join(monitor, "name")) == "ina238" else None
    found = {}
    for channel in CHANNELS[:1] if only else CHANNELS:
        label = only or read_text(os.path.join(monitor, f"in{channel}_label"))
        if label and label != "NC" and read_int(os.path.join(monitor, f"in{channel}_enable")) != 0:
            paths = (os.path.join(monitor, f"{kind}{channel}_input") for kind in ("in", "curr"))
            found[label] = Rail(*paths)
    return found


def _iio_rails(monitor: str) -> dict[str, Rail]:
    found = {}
    for path in entries(monitor, "rail_name_"):
        channel, label = path.rpartition("_")[2], read_text(path)
        if label and label != "NC":
            paths = (os.path.join(monitor, f"in_{kind}{channel}_input") for kind in ("voltage", "current"))
            found[label] = Rail(*paths)
    return found
