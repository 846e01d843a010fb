"""What jtop measured, as a reading: its units, its placeholders and its gaps undone. Pure.

jtop gives -256 for a sensor that is off, 0 for a load it cannot read, kilohertz or megahertz for a clock, and a
"total" power that is a measured input or a sum of rails depending on which rails answered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from titand.telemetry.sensors import Reading, Value, quantities

SOURCE = "jtop"
KILO = 1000
DOUBTFUL_ZEROS = frozenset({"gpu_utilization_ratio", "gpu_memory_bytes"})  # 0 is what jtop says for unknown


def to_reading(sample: Mapping[str, Any], time_ns: int, version: str = "") -> Reading:
    """Return the reading in a sample of jtop's.

    Args:
        sample: what jtop's `json()` says, of version 4 or 7; any part may be absent.
        time_ns: when it was measured, on the monotonic clock.
        version: of jetson-stats.
    """
    gpu = first(sample.get("gpu"))
    emc = _table(_table(sample.get("mem")).get("EMC"))
    ram = _table(_table(sample.get("mem")).get("RAM"))
    mode = _table(_table(sample.get("nvp")).get("model"))
    values = quantities(
        gpu_utilization_ratio=_scaled(_table(gpu.get("status")).get("load"), 1 / 100),
        gpu_frequency_hertz=hertz(_table(gpu.get("freq")).get("cur")),
        gpu_frequency_max_hertz=hertz(_table(gpu.get("freq")).get("max")),
        gpu_memory_bytes=_scaled(ram.get("shared"), 1024),
        emc_utilization_ratio=_scaled(emc.get("val"), 1 / 100),
        emc_frequency_hertz=_scaled(emc.get("cur"), KILO),
        power_mode=mode.get("name"),
    )
    return Reading(
        SOURCE,
        time_ns,
        values=values,
        rails=dict(_rails(_table(sample.get("power")))),
        temperatures=dict(_temperatures(_table(sample.get("temperature")))),
        fans=dict(_fans(_table(sample.get("fan")))),
        processes=dict(_processes(sample.get("processes"))),
        version=version,
    )


def above_zero(reading: Reading) -> frozenset[str]:
    """Return the quantities whose zero means something from now on: they have been seen above it."""
    return frozenset(name for name in DOUBTFUL_ZEROS & reading.values.keys() if reading.values[name].value != 0)


def without_doubtful_zeros(reading: Reading, proven: Collection[str]) -> Reading:
    """Return the reading less the zeros that may stand for "unknown".

    Args:
        reading: of jtop.
        proven: quantities that have been seen above zero, now or before.
    """
    doubtful = DOUBTFUL_ZEROS.difference(proven)
    kept = {name: value for name, value in reading.values.items() if name not in doubtful}
    return reading._replace(values=kept)


def first(table: Any) -> Mapping[str, Any]:
    """Return the first entry of a table of tables; an empty one when there is none."""
    return next((entry for entry in _table(table).values() if isinstance(entry, Mapping)), {})


def hertz(clock: Any) -> int | None:
    """Return a GPU clock in hertz: jtop gives kilohertz, but megahertz where NVML reads it (Thor).

    No GPU runs at 10 MHz or below, nor above 10 GHz, so the magnitude tells.

    >>> hertz(1020000), hertz(1575), hertz(None)
    (1020000000, 1575000000, None)
    """
    if not isinstance(clock, (int, float)) or clock <= 0:
        return None
    return int(clock) * (KILO if clock > 10_000 else KILO * KILO)


def _rails(power: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    rails = dict(_table(power.get("rail")))
    total = _table(power.get("tot"))
    if total.get("name"):  # only then is the total measured: the input rail, moved out of the list
        rails[total["name"]] = total
    for name, rail in rails.items():
        milliwatts = _table(rail).get("power")
        if isinstance(milliwatts, (int, float)) and rail.get("online", True):
            facts = {"volts": rail["volt"] / KILO, "amperes": rail["curr"] / KILO} if "volt" in rail else {}
            yield name, Value(milliwatts / KILO, "watts", facts)


def _temperatures(zones: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for name, zone in zones.items():
        celsius = _table(zone).get("temp")
        if isinstance(celsius, (int, float)) and zone.get("online", True) and celsius > -256:
            yield name, Value(celsius, "celsius")


def _fans(fans: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for name, fan in fans.items():
        speeds = _table(fan).get("speed") or []
        for number, percent in enumerate(speeds):
            rpm = fan.get("rpm") or []
            facts = {"rpm": rpm[number]} if number < len(rpm) else {}
            yield (name if number == 0 else f"{name}-{number + 1}"), Value(percent / 100, "ratio", facts)


def _processes(rows: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # pid, user, gpu, type, priority, state, processor %, resident kB, GPU memory kB, name
    for row in rows or ():
        yield int(row[0]), {"gpu_memory_bytes": int(row[8]) * 1024}


def _table(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {}


def _scaled(number: Any, factor: float) -> float | None:
    return number * factor if isinstance(number, (int, float)) else None
