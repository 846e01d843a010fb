"""Energy counters of PC processors (RAPL): exact joules of the package and its memory, not of the board.

The kernel gives them to root only since 2020; elsewhere the sensor says so, and yields nothing.
"""

from __future__ import annotations

import os

from titand.telemetry.energy import CounterMeter
from titand.telemetry.sensors import UNITS, Reading, Value
from titand.telemetry.sysfs import entries, read_int, read_text


class Rapl:
    """The sensor of the energy counters.

    Args:
        start_ns: when the account of energy begins.
        sys: root of sysfs.
    """

    name = "rapl"

    def __init__(self, start_ns: int, sys: str = "/sys") -> None:
        self._meters = {
            zone: CounterMeter(start_ns, read_int(os.path.join(zone, "max_energy_range_uj")) or 0)
            for zone in counted_zones(os.path.join(sys, "class/powercap"))
        }

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`. The power is the mean since the reading before, so the first reading has none."""
        if not self._meters:
            return None
        for zone, meter in self._meters.items():
            microjoules = read_int(os.path.join(zone, "energy_uj"))
            if microjoules is None:
                name = read_text(os.path.join(zone, "name"))
                return Reading(self.name, now_ns, detail=f"{name}: energy_uj cannot be read; it is root's")
            meter.add(now_ns, microjoules)
        meters = self._meters.values()
        coverage = min(meter.coverage_ratio(now_ns) for meter in meters)
        covered = min(meter.covered_seconds for meter in meters)
        facts = {"kind": "rapl", "coverage_ratio": coverage, "covered_seconds": covered}
        joules = sum(meter.joules for meter in meters)
        values = {"energy_joules": Value(joules, UNITS["energy_joules"], facts)}
        watts = [meter.watts for meter in meters]
        if None not in watts:
            total = sum(power for power in watts if power is not None)
            values["board_power_watts"] = Value(total, UNITS["board_power_watts"], {"kind": "rapl"})
        return Reading(self.name, now_ns, values=values)


def counted_zones(powercap: str) -> list[str]:
    """Return the zones whose sum counts nothing twice.

    That is the platform zone (psys) where there is one, which holds all others, else the packages and the memory
    beside them. Cores and uncore are parts of their package; intel-rapl-mmio repeats it.
    """
    names = {zone: read_text(os.path.join(zone, "name")) or "" for zone in entries(powercap, "intel-rapl:")}
    platform = [zone for zone, name in names.items() if name == "psys"]
    return platform or [zone for zone, name in names.items() if name.startswith(("package", "dram"))]
