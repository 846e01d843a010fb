"""Checkpoints: what they hold comes back, they fit or are refused, and they do not wear the disk out."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os

import pytest

from tests.arenas import new_arena
from tests.clocks import HandClock
from tests.storage.disk import fail_at
from tests.workers.pair import Plan
from titand.config import ServiceConfig, StorageConfig
from titand.errors import ModelError
from titand.runtime.arena import FILLED
from titand.runtime.counters import PUSHED
from titand.runtime.image import restore_image
from titand.runtime.ledger import Ledger
from titand.runtime.parameters import create_parameters
from titand.storage.bundles import load_newest
from titand.workers.checkpoints import (
    DAY_SECONDS,
    CheckpointFacts,
    CheckpointWriter,
    facts_of,
    model_fingerprint,
    require_fit,
    sample_fingerprint,
    write_last,
)

DAY_NS = DAY_SECONDS * 1_000_000_000


@pytest.fixture
def pair(pairs):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.start()
    return pair


@pytest.fixture
def config(pair, tmp_path):
    """The pair's configuration, with a state folder."""
    (tmp_path / "checkpoints").mkdir()
    service = ServiceConfig(state_directory=str(tmp_path))
    return dataclasses.replace(pair.config, service=service, storage=StorageConfig(daily_bytes=10**9))


def facts(config, version: int = 0, clean: bool = False, paused: bool = False) -> CheckpointFacts:
    return CheckpointFacts(version, model_fingerprint(config), sample_fingerprint(config), paused, clean)


def writer_of(pair, config, clock, least_seconds: float = 60.0, daily_bytes: int = 10**9) -> CheckpointWriter:
    return CheckpointWriter(config.checkpoint_folder, pair.arena, daily_bytes, least_seconds, clock)


def newest(config):
    bundle, broken = load_newest(config.checkpoint_folder)
    assert broken == []
    return bundle


def test_a_resumed_pair_goes_on_from_the_checkpoint(pair, pairs, config):
    for _ in range(5):
        pair.round()
    pair.feed(9)
    writer = writer_of(pair, config, HandClock(DAY_NS))
    assert writer.write(facts(config, 5, clean=True, paused=True), pair.trainer.state(), b"what it knew")
    bundle = newest(config)
    assert facts_of(bundle) == facts(config, 5, clean=True, paused=True)
    assert bytes(bundle.sections["selector"]) == b"what it knew"

    after = pairs(pair.plan)
    waiting = restore_image(after.front, bytes(bundle.sections["arena"]), 5)
    after.start(state=bundle.sections["state"], version=5)
    assert waiting == pair.states().count(FILLED) == 9
    assert (after.trainer.version, after.permit.round) == (5, 6)
    assert bytes(after.trainer.state()) == bytes(pair.trainer.state())
    assert after.ledger.counts().is_balanced
    assert after.ledger.counts().pushed == pair.pushed
    after.round()


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"training": {"learning_rate": 0.5, "schedule": "cosine", "weight_decay": 0.1}}, True),
        ({"selection": {"policy": "uniform"}}, True),
        ({"training": {"momentum": 0.5}}, True),
        ({"training": {"momentum": 0.0}}, False),
        ({"training": {"optimizer": "adam"}}, False),
        ({"training": {"average": 0.0}}, True),
        ({"training": {"average": 0.5}}, False),
        ({"model": {"options": {"hidden": [9]}}}, False),
        ({"model": {"architecture": "digits_cnn"}}, False),
        ({"model": {"labels": ("a", "b", "d")}}, False),
    ],
)
def test_a_checkpoint_fits_its_own_model_and_no_other(config, change, fits):
    other = config
    for section, values in change.items():
        other = dataclasses.replace(other, **{section: dataclasses.replace(getattr(other, section), **values)})
    if fits:
        require_fit(facts(config), other)
    else:
        with pytest.raises(ModelError) as caught:
            require_fit(facts(config), other)
        assert caught.value.reason == "CHECKPOINT_OTHER_MODEL"


def test_the_next_checkpoint_waits_for_the_configured_time(pair, config):
    clock = HandClock(DAY_NS)
    writer = writer_of(pair, config, clock, least_seconds=60.0)
    assert not writer.is_due
    clock.wait(59.9)
    assert not writer.is_due
    clock.wait(0.1)
    assert writer.is_due
    writer.write(facts(config), pair.trainer.state(), None)
    assert not writer.is_due
    clock.wait(60)
    assert writer.is_due


def test_the_log_may_have_one_before_its_time_if_it_has_written_as_much(pair, config):
    clock = HandClock(DAY_NS)
    writer = writer_of(pair, config, clock)
    assert writer.is_worth(0), "the size of the first is not known yet"
    writer.write(facts(config), pair.trainer.state(), None)
    size = writer.newest["size_bytes"]
    assert size == sum(len(section) for section in newest(config).sections.values())
    assert not writer.is_worth(size - 1)
    assert writer.is_worth(size)
    clock.wait(60)
    assert writer.is_worth(0), "it is due anyway"


def test_checkpoints_with_the_log_on_hold_the_samples_that_wait(pair, pairs, config):
    pair.feed(9)
    for with_samples, kept in ((False, 0), (True, 9)):
        writer = CheckpointWriter(config.checkpoint_folder, pair.arena, 10**9, 60.0, HandClock(DAY_NS), with_samples)
        writer.write(facts(config), pair.trainer.state(), None)
        after = pairs(pair.plan)
        assert restore_image(after.front, bytes(newest(config).sections["arena"]), 0) == kept


def test_no_more_is_written_in_a_day_than_configured(pair, config):
    clock = HandClock(DAY_NS)
    daily_bytes = 1_000_000
    writer = writer_of(pair, config, clock, least_seconds=1.0, daily_bytes=daily_bytes)
    written, size, start = 0, 0, clock.now
    clock.wait(1)
    while clock.now - start < DAY_NS:
        if writer.is_due:
            writer.write(facts(config), pair.trainer.state(), None)
            size = sum(len(section) for section in newest(config).sections.values())
            written += size
        clock.wait(writer.interval_seconds)
    assert 0.9 * daily_bytes < written <= daily_bytes + size


def refusing(monkeypatch, files):
    """Let every flush fail, and keep each file that was flushed open, so that its inode is not used again."""

    def fsync(descriptor):
        files.append(os.dup(descriptor))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)


def test_after_a_failure_it_is_tried_ever_later_and_each_time_in_a_new_file(pair, config, monkeypatch):
    clock = HandClock(DAY_NS)
    writer = writer_of(pair, config, clock, least_seconds=60.0)
    files, pauses = [], []
    with monkeypatch.context() as patch:
        refusing(patch, files)
        for _ in range(8):
            while not writer.is_due:
                clock.wait(0.5)
            pauses.append(clock.now)
            assert not writer.write(facts(config), pair.trainer.state(), None)
            assert writer.trouble.reason == "IO_ERROR"
    inodes = {os.fstat(file).st_ino for file in files}
    for file in files:
        os.close(file)
    assert len(inodes) == len(files) == 8
    assert [(b - a) / 1e9 for a, b in itertools.pairwise(pauses)] == [1, 3, 10, 30, 100, 300, 300]
    assert newest(config) is None

    clock.wait(300)
    assert writer.is_due
    assert writer.write(facts(config), pair.trainer.state(), None)
    assert writer.trouble is None
    clock.wait(59)
    assert not writer.is_due


def test_a_disk_that_keeps_failing_is_not_worn_out_by_trying(pair, config, monkeypatch):
    """What fails may have been written: no more often, in the end, than checkpoints that succeed."""
    clock = HandClock(DAY_NS)
    writer = writer_of(pair, config, clock, daily_bytes=1_000_000)
    files = []
    with monkeypatch.context() as patch:
        refusing(patch, files)
        for _ in range(9):
            writer.write(facts(config), pair.trainer.state(), None)
    for file in files:
        os.close(file)
    assert writer.retry_seconds == writer.interval_seconds > 300


def test_what_is_durable_is_what_the_newest_checkpoint_holds(pair, config, monkeypatch):
    clock = HandClock(DAY_NS)
    writer = writer_of(pair, config, clock)
    assert writer.durable_ns == clock.now  # nothing came before
    clock.wait(100)
    writer.write(facts(config), pair.trainer.state(), None)
    written = clock.now
    clock.wait(100)
    with monkeypatch.context() as patch:
        fail_at(patch, "fsync", 1, OSError(errno.ENOSPC, "No space left on device"))
        assert not writer.write(facts(config), pair.trainer.state(), None)
    assert writer.durable_ns == written

    (path,) = config.checkpoint_folder.glob("*.bundle")
    os.utime(path, ns=(7, 7))
    assert writer_of(pair, config, clock).durable_ns == 7  # a successor knows it from the file


def test_the_account_of_a_day_ends_with_it(pair, config):
    clock = HandClock(DAY_NS)
    writer = writer_of(pair, config, clock)
    writer.count(100)
    clock.wait(DAY_SECONDS - 1)
    writer.count(10)
    assert writer.written_today_bytes == 110
    clock.wait(1)
    writer.count(1)
    assert writer.written_today_bytes == 1


def test_a_disk_that_refuses_is_remembered_until_it_takes_one_again(pair, config, monkeypatch):
    writer = writer_of(pair, config, HandClock(DAY_NS))
    fail_at(monkeypatch, "fsync", 1, OSError(errno.ENOSPC, "No space left on device"))
    assert not writer.write(facts(config), pair.trainer.state(), None)
    assert "No space left" in str(writer.trouble)
    assert newest(config) is None
    assert writer.written_today_bytes == 0
    assert writer.write(facts(config), pair.trainer.state(), None)
    assert writer.trouble is None


def test_an_arena_that_does_not_hold_still_is_trouble_and_not_the_end(pair, config):
    writer = writer_of(pair, config, HandClock(DAY_NS))
    pair.arena.journal[0] = 1  # its front is dead
    assert not writer.write(facts(config), pair.trainer.state(), None)
    assert writer.trouble.reason == "ARENA_NOT_STILL"
    pair.arena.journal[0] = 0


# ---- the one in the trainer's place


def last(pair, config, arena=None, parameters=None, selector=None, paused=False, guard=None):
    return write_last(
        config,
        arena or pair.arena,
        pair.descriptors.parameters if parameters is None else parameters,
        selector,
        paused,
        guard or {},
        HandClock(DAY_NS),
    )


def test_in_a_dead_trainers_place_its_last_version_is_written(pair, config):
    for _ in range(3):
        pair.round()
    assert last(pair, config, selector=b"known", paused=True) == facts(config, 3, clean=True, paused=True)
    bundle = newest(config)
    assert bytes(bundle.sections["state"]) == bytes(pair.trainer.state())
    assert bytes(bundle.sections["selector"]) == b"known"


def test_before_there_was_a_trainer_the_newest_checkpoints_state_is_kept(pair, pairs, config):
    for _ in range(3):
        pair.round()
    last(pair, config, selector=b"known")
    kept = bytes(newest(config).sections["state"])
    other = pairs(pair.plan)
    other.feed(7)
    parameters = create_parameters()
    assert last(other, config, arena=other.front, parameters=parameters).version == 3
    os.close(parameters)
    bundle = newest(config)
    assert (bytes(bundle.sections["state"]), bytes(bundle.sections["selector"])) == (kept, b"known")
    arena = new_arena(20, pair.spec.input.size_bytes)
    assert restore_image(arena, bytes(bundle.sections["arena"]), 3) == 7


def test_what_the_guard_knew_is_kept_as_the_trainer_said_it_last_or_else_as_the_newest_checkpoint_has_it(
    pair, pairs, config
):
    pair.round()
    cut, cut_again = {"rate_factor": 0.5, "automatic": 1}, {"rate_factor": 0.25, "automatic": 2}
    last(pair, config, guard=cut)
    assert facts_of(newest(config)).guard == cut
    pair.round()
    assert last(pair, config).version == 2, "a trainer that died before it could say a word"
    assert facts_of(newest(config)).guard == cut
    last(pair, config, guard=cut_again)
    parameters = create_parameters()
    other = pairs(pair.plan)
    last(other, config, arena=other.front, parameters=parameters)
    os.close(parameters)
    assert (facts_of(newest(config)).version, facts_of(newest(config)).guard) == (2, cut_again)


def test_before_there_was_any_state_only_samples_are_kept(pairs, config):
    pair = pairs(Plan(held_out_ratio=0.0))
    pair.feed(7)
    parameters = create_parameters()
    written = last(pair, config, arena=pair.front, parameters=parameters)
    os.close(parameters)
    assert (written.version, written.model) == (0, "")
    bundle = newest(config)
    assert bytes(bundle.sections["state"]) == b""
    require_fit(facts_of(bundle), config)
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, architecture="another"))
    require_fit(facts_of(bundle), other)


def test_a_checkpoint_with_other_samples_is_not_replaced(pair, pairs, config):
    pair.round()
    last(pair, config)
    before = newest(config)
    labels = dataclasses.replace(config.model, labels=("x", "y"))
    other = dataclasses.replace(config, model=labels)
    fresh = pairs(pair.plan)
    with pytest.raises(ModelError) as caught:
        last(fresh, other, arena=fresh.front, parameters=fresh.descriptors.parameters)
    assert caught.value.reason == "CHECKPOINT_OTHER_MODEL"
    assert newest(config).generation == before.generation


def test_what_the_front_had_begun_must_be_finished_first(pair, config):
    pair.feed(3)
    pair.arena.journal[0] = 1
    Ledger(pair.arena, pair.descriptors.filled, pair.clock)
    last(pair, config)
    assert pair.arena.counters[PUSHED] == 3
