"""What survives, as clients see it."""

from __future__ import annotations

from tests.front.house import config_in
from titand.front.durability import durability_of, written_today
from titand.front.state import Reports

CHECKPOINT = {"round": 7, "size_bytes": 1000, "time_ns": 5_000_000_000, "sequence": 3}
LOG = {"keeps_samples": True, "size_bytes": 4096, "flush_count": 2, "replayed_count": 9, "written_today_bytes": 50}


def test_before_the_first_checkpoint_there_is_none(tmp_path):
    said = durability_of(config_in(tmp_path), Reports())
    assert not said.keeps_samples
    assert not said.HasField("checkpoint_time")
    assert said.daily_budget_bytes == 10**9


def test_the_newest_checkpoint_is_the_trainers_and_until_then_the_one_that_was_loaded(tmp_path):
    loaded = Reports(supervisor={"checkpoint": CHECKPOINT})
    assert durability_of(config_in(tmp_path), loaded).checkpoint_round == 7
    written = Reports(supervisor={"checkpoint": CHECKPOINT}, trainer={"checkpoint": {**CHECKPOINT, "round": 8}})
    said = durability_of(config_in(tmp_path), written)
    assert (said.checkpoint_round, said.checkpoint_size_bytes, said.checkpoint_time.seconds) == (8, 1000, 5)


def test_the_log_is_shown_and_its_bytes_are_part_of_todays(tmp_path):
    reports = Reports(front={"log": LOG}, trainer={"written_today_bytes": 100})
    said = durability_of(config_in(tmp_path), reports)
    assert said.keeps_samples
    assert (said.log_size_bytes, said.log_flush_count, said.log_replayed_count) == (4096, 2, 9)
    assert written_today(reports) == 150
