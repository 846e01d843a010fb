"""Asks the daemon from inside the test machine; each verb prints one line of JSON.

probe.py training              the training as it is
probe.py push COUNT            push so many random samples, with totals
probe.py until "EXPRESSION"    ask until it is true of `training`, print that; survives that the front is away
probe.py pause
probe.py resume
"""

import dataclasses
import json
import random
import sys
import threading
import time

import titan

PATIENCE_SECONDS = 50.0
PAUSE_SECONDS = 0.1


def main(verb: str, *arguments: str) -> object:
    """Do what one verb says and return what is to be printed."""
    with titan.Client() as client:
        if verb == "push":
            return push(client, int(arguments[0]))
        if verb == "until":
            return until(client, arguments[0])
        return getattr(client, verb)()


def push(client: titan.Client, count: int) -> titan.PushTotals:
    """Push random samples, every label in turn."""
    model = until(client, "True").model
    dice = random.Random(7)
    for number in range(count):
        client.push(dice.randbytes(model.input_spec.size_bytes), number % len(model.labels))
    client.flush(timeout=20)
    return client.totals


def until(client: titan.Client, expression: str) -> titan.Training:
    """Return the training once the expression is true of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = client.training()
            if eval(expression, {"training": last}):
                return last
        except titan.Unreachable as error:
            last = error
        threading.Event().wait(PAUSE_SECONDS)
    raise SystemExit(f"never {expression}, but {last}")


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(main(*sys.argv[1:])), default=str))
