"""What a sensor is, what it yields, and which of several sensors is believed.

Unknown is absent: no zero, no -256, no estimate stands for a value that was not measured. What could not be
read is named in the reading's `detail`.
"""

# NamedTuples, not dataclasses, in all of this package: the dataclass module brings `inspect` with it, 1.2 MB of
# private memory in a child process whose whole budget is 8.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

NANOSECONDS = 1_000_000_000
STALE_SECONDS = 10.0  # an older value is no longer shown; jtop under load may take five

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "cpu_utilization_ratio": "ratio",
        "cpu_pressure_ratio": "ratio",
        "load_average_1m": "tasks",
        "memory_total_bytes": "bytes",
        "memory_available_bytes": "bytes",
        "memory_pressure_ratio": "ratio",
        "io_pressure_ratio": "ratio",
        "swap_used_bytes": "bytes",
        "gpu_utilization_ratio": "ratio",
        "gpu_frequency_hertz": "hertz",
        "gpu_frequency_max_hertz": "hertz",
        "gpu_memory_bytes": "bytes",
        "emc_utilization_ratio": "ratio",
        "emc_frequency_hertz": "hertz",
        "board_power_watts": "watts",
        "energy_joules": "joules",
        "power_mode": "name",
    }
)
"""Every quantity a reading may hold, and its unit."""

NONE: Mapping[Any, Any] = MappingProxyType({})


class Value(NamedTuple):
    """One measured value.

    Attributes:
        value: in `unit`.
        unit: base units: ratio (0 to 1), bytes, hertz, watts, joules, celsius.
        facts: what belongs to it: the kind of a power, the limits of a temperature.
    """

    value: float | str
    unit: str
    facts: Mapping[str, Any] = NONE


class Reading(NamedTuple):
    """What one sensor measured at one time.

    Attributes:
        source: who measured.
        time_ns: when, on the monotonic clock: the time of the measurement, not of its arrival.
        values: by quantity, see `UNITS`.
        rails: power of each rail, watts.
        temperatures: by thermal zone, celsius.
        fans: by fan, ratio of the full drive.
        processes: by process id, what the source alone knows about it.
        detail: what could not be read, and why; empty when all is well.
        version: of the source, where it has one.
    """

    source: str
    time_ns: int
    values: Mapping[str, Value] = NONE
    rails: Mapping[str, Value] = NONE
    temperatures: Mapping[str, Value] = NONE
    fans: Mapping[str, Value] = NONE
    processes: Mapping[int, Mapping[str, Any]] = NONE
    detail: str = ""
    version: str = ""

    @property
    def is_up(self) -> bool:
        """Whether anything was measured."""
        return bool(self.values or self.rails or self.temperatures or self.fans)


class Sensor(Protocol):
    """Something that can be read. It never raises for what the board lacks."""

    @property
    def name(self) -> str:
        """The source, as a reading names it."""

    def read(self, now_ns: int) -> Reading | None:
        """Measure now. None: this machine has nothing of the kind.

        Args:
            now_ns: the monotonic time, which becomes the time of the measurement.
        """


def quantities(**values: float | str | None) -> dict[str, Value]:
    """Name measured values, leaving out what is None.

    >>> quantities(memory_total_bytes=1024, gpu_utilization_ratio=None)
    {'memory_total_bytes': Value(value=1024, unit='bytes', facts=mappingproxy({}))}
    """
    return {name: Value(value, UNITS[name]) for name, value in values.items() if value is not None}


def read_safely(sensor: Sensor, now_ns: int) -> Reading | None:
    """Read one sensor; whatever it raises costs this sensor's values and nothing else."""
    try:
        return sensor.read(now_ns)
    except Exception as error:  # a driver may answer anything; the other sensors must still be read
        return Reading(sensor.name, now_ns, detail=f"{type(error).__name__}: {error}")


class Merged(NamedTuple):
    """The believed values, ready for JSON: each with its source and age."""

    values: dict[str, dict[str, Any]]
    rails: dict[str, dict[str, Any]]
    temperatures: dict[str, dict[str, Any]]
    fans: dict[str, dict[str, Any]]
    sources: list[dict[str, Any]]


def merge(readings: Iterable[Reading], now_ns: int, stale_seconds: float = STALE_SECONDS) -> Merged:
    """Take each quantity and each rail from the first reading that has it and is fresh.

    Zones and fans come from the first reading that has any: sources name the same zone differently, so mixing
    them would show it twice.

    Args:
        readings: in order of precedence.
        now_ns: the monotonic time the ages count from.
        stale_seconds: a reading older than this is listed as down, and gives no value.
    """
    merged = Merged({}, {}, {}, {}, [])
    for reading in readings:
        age = age_seconds(reading.time_ns, now_ns)
        is_fresh = age < stale_seconds
        merged.sources.append(_status(reading, age, is_fresh))
        if not is_fresh:
            continue
        for name, value in reading.values.items():
            merged.values.setdefault(name, plain(value, reading.source, age))
        for name, value in reading.rails.items():
            merged.rails.setdefault(name, plain(value, reading.source, age))
        for table, found in ((merged.temperatures, reading.temperatures), (merged.fans, reading.fans)):
            if not table:
                table.update({name: plain(value, reading.source, age) for name, value in found.items()})
    return merged


def age_seconds(time_ns: int, now_ns: int) -> float:
    """Return how old a time is; never below zero, since two processes read the clock at different moments."""
    return max(0, now_ns - time_ns) / NANOSECONDS


def plain(value: Value, source: str, age: float) -> dict[str, Any]:
    """Return a value as it goes into JSON."""
    return {"value": value.value, "unit": value.unit, "source": source, "age_seconds": age, **value.facts}


def _status(reading: Reading, age: float, is_fresh: bool) -> dict[str, Any]:
    detail = reading.detail if is_fresh or reading.detail else f"the last reading is {age:.1f} s old"
    return {
        "name": reading.source,
        "up": reading.is_up and is_fresh,
        "age_seconds": age,
        "detail": detail,
        "version": reading.version,
    }
