"""Reads jtop in a process of its own, so that nothing it does can reach the daemon.

Importing jtop forces a start method, constructing it loads cuDNN and TensorRT, starting it may hang for ever, and
a lost service leaves its thread with a broken connection. So this is a program: it runs under the interpreter of
the installed jtop service, whose version matches by definition, and needs nothing but that and the standard
library of Python 3.6. It prints one JSON object a line:

    {"hello": {"interval": seconds, "version": text}}
    {"sample": what jtop measured, "time_ns": when, on the monotonic clock}
    {"end": why there will be no more}

and ends at the first trouble, or when its input is closed, which is how it learns that its parent has died.

    INTERPRETER -I jtop_probe.py INTERVAL_SECONDS
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def uptime() -> float:
    """Return the seconds since boot: the clock in which jtop dates its samples."""
    with open("/proc/uptime") as file:
        return float(file.read().split()[0])


def end_with_parent() -> None:
    """End this process, whatever its threads wait for, when the other end of the input is closed."""
    sys.stdin.buffer.read()
    os._exit(0)


def watch(interval: float, tell: "Callable[[dict[str, Any]], None]") -> str:
    """Tell every fresh sample; return why there are no more."""
    try:
        import jtop
    except ImportError:
        return f"jetson-stats is not installed for {sys.executable}"
    try:
        client = jtop.jtop(interval=interval)
        client.start()
        tell({"hello": {"interval": client.interval, "version": jtop.__version__}})
        last = None
        while client.ok():
            sample = json.loads(client.json())
            if sample["uptime"] != last:  # the client repeats a late sample without saying so
                last = sample["uptime"]
                age = max(0.0, uptime() - last)
                tell({"sample": sample, "time_ns": int((time.monotonic() - age) * 1e9)})
        return f"no fresh sample in three intervals of {interval:g} s"
    except jtop.JtopException as error:
        return str(error).splitlines()[0]
    except Exception as error:  # EOFError, ConnectionError, KeyError: jtop lets anything through
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Run the program."""
    lines = os.fdopen(os.dup(1), "w", 1)
    os.dup2(2, 1)  # what libraries print is not a line of ours

    def tell(message: "dict[str, Any]") -> None:
        lines.write(json.dumps(message) + "\n")

    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        tell({"end": watch(float(sys.argv[1]), tell)})
    finally:
        os._exit(0)  # jtop's threads may hang


if __name__ == "__main__":
    main()
