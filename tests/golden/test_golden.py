"""What a release has written, every later one reads: golden files of each version, and the steps between them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.golden.make import PLAN, RECORDS
from titand.runtime.image import restore_image
from titand.runtime.log_records import decode
from titand.storage import formats
from titand.storage.bundles import read_bundle
from titand.storage.formats import BUNDLE, LOG, MANIFEST, Format
from titand.storage.ring_log import RingLog
from titand.storage.snapshots import SnapshotStore
from titand.workers.checkpoints import facts_of, require_fit

FOLDER = Path(__file__).parent
NAMES = {"BUNDLE": "checkpoint-{}.bundle", "MANIFEST": "snapshot-{}", "LOG": "samples-{}.ring"}
ALL = {name: each for name, each in vars(formats).items() if isinstance(each, Format)}


def versions(format: Format):
    return pytest.mark.parametrize("version", range(1, format.version + 1))


@pytest.mark.parametrize("name", ALL)
def test_every_version_has_a_golden_file_and_every_older_one_a_step_to_the_next(name):
    assert ALL.keys() == NAMES.keys()
    here = ALL[name]
    assert set(here.steps) == set(range(1, here.version))
    for version in range(1, here.version + 1):
        assert (FOLDER / NAMES[name].format(version)).exists(), f"python -m tests.golden.make writes version {version}"


def test_the_steps_are_taken_from_the_version_of_the_file_to_the_present_one():
    chain = Format(4, {version: lambda old, version=version: {"way": [*old["way"], version]} for version in (1, 2, 3)})
    assert [chain.migrate({"way": []}, version)["way"] for version in (1, 2, 3, 4, 5)] == [
        [1, 2, 3],
        [2, 3],
        [3],
        [],
        [],
    ]


@versions(BUNDLE)
def test_a_checkpoint_of_any_version_is_gone_on_from(pairs, version):
    bundle = read_bundle(FOLDER / f"checkpoint-{version}.bundle")
    known = json.loads((FOLDER / f"checkpoint-{version}.json").read_text())
    facts = facts_of(bundle)
    pair = pairs(PLAN)
    require_fit(facts, pair.config)
    assert facts.version == known["version"]
    in_hand = facts.batch["round"] if facts.batch else 0
    restore_image(pair.front, bytes(bundle.sections["arena"]), facts.version, in_hand)
    counts = pair.ledger.counts()
    assert counts.is_balanced
    for column, count in known["counts"].items():
        assert getattr(counts, column) == count, column
    assert pair.ledger.open_stream("camera", frozenset())[1].sequence == counts.pushed

    pair.pushed = counts.pushed
    pair.start(
        state=bundle.sections["state"], version=facts.version, selector=bytes(bundle.sections["selector"]),
        batch=facts.batch,
    )  # fmt: skip
    assert pair.recovered == 0, "the window and the batch are as they were"
    assert 0 < pair.selector.window_size <= 7
    assert pair.batch is not None
    batch, pair.batch = pair.batch, None
    pair.trainer.on_batch(batch, 0.0)
    for _ in range(3):
        pair.round()
    assert pair.trainer.version == facts.version + 4
    assert pair.ledger.counts().is_balanced


@versions(MANIFEST)
def test_a_snapshot_of_any_version_is_listed_and_verified(tmp_path, version):
    shutil.copytree(FOLDER / f"snapshot-{version}", tmp_path, dirs_exist_ok=True)
    store = SnapshotStore(tmp_path)
    (snapshot,) = store.page().snapshots
    assert store.verify(snapshot.name) == snapshot
    assert (snapshot.note, snapshot.metrics) == ("golden", {"held_out_accuracy": 0.5})


@versions(LOG)
def test_a_log_of_samples_of_any_version_is_replayed(tmp_path, version):
    shutil.copy(FOLDER / f"samples-{version}.ring", tmp_path / "log")
    log = RingLog.open(tmp_path / "log")
    assert log.about == {"samples": "golden"}
    assert [decode(payload) for _, payload in log.recovered()] == list(RECORDS)
    assert [sequence for sequence, _ in log.recovered()] == [1, 2, 3, 4]
    log.close()
