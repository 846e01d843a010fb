"""Wrong labels through the whole daemon: listed, and cleared when they are mended."""

from __future__ import annotations

import numpy as np

import titan
from tests.e2e.daemon import SECONDS
from titand.demo.data import digits

MOST_PUSHES = 40  # an idle machine needs some ten


def is_held_out(client: titan.Client, number: int) -> bool:
    try:
        return client.sample(number).fate == "held_out"
    except titan.TitanError as error:
        if error.reason != "SAMPLE_FORGOTTEN":
            raise
        return False


def test_wrong_labels_are_listed_and_can_be_mended(daemons):
    daemon = daemons({"evaluation.held_out_ratio": 0.2, "evaluation.every_rounds": 5}).start()
    samples, generator = digits().train, np.random.default_rng(0)
    shift = np.where(generator.random(len(samples)) < 0.05, generator.integers(1, 10, len(samples)), 0)
    truth: dict[int, int] = {}
    lies: dict[int, bool] = {}
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        for _ in range(MOST_PUSHES):  # one at a time: a starved daemon would have few rounds for many at once
            rows = generator.permutation(len(samples))
            right = samples.label[rows].astype(int)
            sequences = client.push_batch(samples.input[rows], (right + shift[rows]) % 10)
            client.flush(SECONDS)
            daemon.quiet()
            numbers = [client.number_of(sequence) for sequence in sequences]
            truth.update(zip(numbers, right.tolist(), strict=True))
            lies.update(zip(numbers, (shift[rows] > 0).tolist(), strict=True))
            found = [int(each.name.partition("/")[2]) for each in client.suspects() if not each.duplicate_of]
            held_out = [number for number in found if is_held_out(client, number)]
            if held_out and len(found) >= 10:
                break
        assert len(found) >= 10
        assert held_out
        assert np.mean([lies[number] for number in found]) > 0.8
        mended = client.label(held_out, [truth[number] for number in held_out])
        assert set(mended) <= {"corrected", "unchanged"}
        corrected = {number for number, outcome in zip(held_out, mended, strict=True) if outcome == "corrected"}
        assert corrected
        assert not corrected & {int(each.name.partition("/")[2]) for each in client.suspects()}
    assert daemon.stop() == 0
