"""Wrong labels through the whole daemon: listed, and cleared when they are mended."""

from __future__ import annotations

import numpy as np

import titan
from tests.e2e.daemon import SECONDS
from titand.demo.data import digits


def test_wrong_labels_are_listed_and_can_be_mended(daemons):
    daemon = daemons({"evaluation.held_out_ratio": 0.2, "evaluation.every_rounds": 5}).start()
    samples, generator = digits().train, np.random.default_rng(0)
    shift = np.where(generator.random(len(samples)) < 0.05, generator.integers(1, 10, len(samples)), 0)
    rows = np.concatenate([generator.permutation(len(samples)) for _ in range(12)])
    truth = samples.label[rows].astype(int)
    said, lies = (truth + shift[rows]) % 10, shift[rows] > 0
    with titan.Client(daemon.address, connect_timeout=SECONDS) as client:
        sequences = client.push_batch(samples.input[rows], said)
        client.flush(SECONDS)
        daemon.quiet()
        place = {client.number_of(sequence): i for i, sequence in enumerate(sequences)}
        found = [each for each in client.suspects() if not each.duplicate_of]
        numbers = [int(each.name.partition("/")[2]) for each in found]
        assert len(found) >= 10
        assert np.mean([lies[place[number]] for number in numbers]) > 0.8
        held_out = [number for number in numbers if client.sample(number).fate == "held_out"]
        mended = client.label(held_out, [int(truth[place[number]]) for number in held_out])
        assert held_out
        assert set(mended) <= {"corrected", "unchanged"}
        corrected = {number for number, outcome in zip(held_out, mended, strict=True) if outcome == "corrected"}
        assert corrected
        assert not corrected & {int(each.name.partition("/")[2]) for each in client.suspects()}
    assert daemon.stop() == 0
