"""What the whole board draws: its measured input, or else the sum of its rails, and never one for the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from titand.telemetry.energy import PowerMeter
from titand.telemetry.sensors import STALE_SECONDS, UNITS, Reading, Value, age_seconds

INPUT_RAILS = ("VIN", "VDD_IN", "POM_5V_IN")  # each is the board; every other rail is a part of it


class BoardPower:
    """The board's power and energy, from whatever rails are read.

    A rail once seen counts from then on. So when the input rail stops answering the board's power is unknown,
    and not suddenly the sum of the rest; and a sum with a rail missing is unknown too.

    Args:
        start_ns: when the account of energy begins.
    """

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._seen: set[str] = set()
        self._meters: dict[str, PowerMeter] = {}  # by kind: joules of an input and of a sum are not added up
        self._power: Value | None = None
        self._time_ns = start_ns
        self._kind = ""
        self._source = ""

    def add(self, reading: Reading, gap_seconds: float, missing: Collection[str] = ()) -> None:
        """Take the rails of one reading.

        Args:
            reading: rails by name, watts.
            gap_seconds: a longer time between two readings was not measured.
            missing: rails that are known to be there and did not answer.
        """
        self._seen.update(reading.rails, missing)
        self._power = board_power(reading.rails, self._seen)
        self._time_ns, self._source = reading.time_ns, reading.source
        if self._power is not None:
            self._kind = self._power.facts["kind"]
            meter = self._meters.setdefault(self._kind, PowerMeter(self._start_ns))
            meter.add(reading.time_ns, float(self._power.value), gap_seconds)

    def read(self, now_ns: int) -> Reading | None:
        """Return the board's power, and its energy since the start with the share of time it was measured in.

        None: no rail was ever seen.
        """
        if not self._seen:
            return None
        power, time_ns = self._power, self._time_ns
        if age_seconds(time_ns, now_ns) >= STALE_SECONDS:
            power, time_ns = None, now_ns  # the energy so far stands, its coverage falls
        values = {}
        if power is not None:
            values["board_power_watts"] = power
        if self._kind:
            values["energy_joules"] = energy(self._meters[self._kind], self._kind, now_ns)
        detail = "" if power else "the board's power is not known: its input rail, or a rail of the sum, is silent"
        return Reading(f"board ({self._source})", time_ns, values=values, detail=detail)


def board_power(rails: Mapping[str, Value], seen: Collection[str]) -> Value | None:
    """Return the board's power, labelled with how it was found, or None when it is not known.

    Args:
        rails: the rails that answered, watts.
        seen: every rail that the board is known to have.

    Example:
        >>> cpu, all_of_it = Value(2.0, "watts"), Value(5.0, "watts")
        >>> board_power({"VDD_IN": all_of_it, "VDD_CPU": cpu}, {"VDD_IN", "VDD_CPU"}).value
        5.0
        >>> board_power({"VDD_CPU": cpu}, {"VDD_IN", "VDD_CPU"}) is None
        True
        >>> board_power({"VDD_CPU": cpu}, {"VDD_CPU"}).facts
        {'kind': 'sum', 'rails': ['VDD_CPU']}
    """
    for name in INPUT_RAILS:
        if name in seen:
            if name not in rails:
                return None
            return Value(rails[name].value, UNITS["board_power_watts"], {"kind": "measured", "rails": [name]})
    if not seen or any(name not in rails for name in seen):
        return None
    total = sum(float(rails[name].value) for name in seen)
    return Value(total, UNITS["board_power_watts"], {"kind": "sum", "rails": sorted(seen)})


def energy(meter: PowerMeter, kind: str, now_ns: int) -> Value:
    """Return a meter's joules, with how much of the time they were measured in."""
    facts = {
        "kind": kind,
        "coverage_ratio": meter.coverage_ratio(now_ns),
        "covered_seconds": meter.covered_seconds,
    }
    return Value(meter.joules, UNITS["energy_joules"], facts)
