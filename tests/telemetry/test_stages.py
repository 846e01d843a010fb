"""Stages: what is timed is counted, from several threads at once."""

import threading

from titand.telemetry.stages import Stages


class Steps:
    """A clock that goes on by a millisecond a look."""

    def __init__(self):
        self.now = 0

    def monotonic_ns(self):
        self.now += 1_000_000
        return self.now

    def wall_ns(self):
        return self.now


def test_a_stage_is_as_long_as_the_clock_says():
    stages = Stages(Steps())
    with stages.timed("train"):
        pass
    stages.record("train", 3_000_000)
    report = stages.to_plain()["train"]
    assert (report["count"], report["max"]) == (2, 0.003)
    assert abs(report["p50"] - 0.001) < 0.001 / 16


def test_a_clock_that_went_back_counts_as_no_time():
    stages = Stages(Steps())
    stages.record("handover", -5)
    assert stages.to_plain()["handover"]["max"] == 0.0


def test_no_passage_is_lost_between_threads():
    stages = Stages(Steps())
    threads = [threading.Thread(target=lambda: [stages.record("admit", 1) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stages.to_plain()["admit"]["count"] == 2000
