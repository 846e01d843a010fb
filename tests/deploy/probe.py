"""Asks the daemon from inside the test machine; each verb prints one line of JSON.

probe.py training              the training as it is
probe.py push COUNT            push so many random samples, with totals
probe.py until "EXPRESSION"    watch until it is true of `training`, print that
probe.py pause
probe.py resume
"""

import dataclasses
import json
import random
import sys

import titan


def main(verb: str, *arguments: str) -> object:
    """Do what one verb says and return what is to be printed."""
    with titan.Client() as client:
        if verb == "training":
            return client.training()
        if verb == "push":
            spec, labels = client.training().model.input_spec, client.training().model.labels
            dice = random.Random(7)
            for number in range(int(arguments[0])):
                client.push(dice.randbytes(spec.size_bytes), number % len(labels))
            client.flush(timeout=20)
            return client.totals
        if verb == "until":
            for training in client.watch_training():
                if eval(arguments[0], {"training": training}):
                    return training
        return getattr(client, verb)()


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(main(*sys.argv[1:])), default=str))
