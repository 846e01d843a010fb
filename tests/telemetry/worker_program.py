"""A telemetry worker as a program: prints a reading a line, until its input is closed."""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import sys
import time

from titand.clock import SystemClock
from titand.telemetry.jtop import Jtop
from titand.workers.telemetry import TelemetryCore, run


class InputClosed:
    """The sign to stop."""

    def wait(self, timeout: float) -> bool:
        """See `titand.workers.telemetry.Stop`."""
        return bool(select.select([sys.stdin], [], [], timeout)[0])


def publish(reading: dict[str, object]) -> None:
    """Print a reading, with what jtop may have done to this process."""
    reading["start_method"] = multiprocessing.get_start_method(allow_none=True)
    reading["jtop_modules"] = [name for name in sys.modules if name.split(".")[0] == "jtop"]
    print(json.dumps(reading), flush=True)


def main() -> None:
    """Run it."""
    options = json.loads(sys.argv[1])
    # as the installed unit says it; named, since the overlay over /etc is not to be had everywhere
    jtop = Jtop(is_expected=True, **options)
    core = TelemetryCore(time.monotonic_ns(), jtop=jtop, interval=0.5, power_interval=0.1)
    core.watch({"telemetry": os.getpid()})
    try:
        run(core, publish, SystemClock(), InputClosed())
    finally:
        core.close()


if __name__ == "__main__":
    main()
