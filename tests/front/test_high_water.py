"""How far numbers were given: exact after a kill of everything, a bound after a power cut, and no number twice."""

from __future__ import annotations

import pytest

from tests.clocks import HandClock
from tests.front.house import SECONDS, Conversation, House, batch_of, config_in, counts
from tests.front.process import front_process
from tests.storage.disk import names
from titan.v1.training_service_pb2 import GetTrainingRequest
from titand.front.high_water import LEAST_STEP, HighWater
from titand.runtime.arena import TRAINED
from titand.runtime.image import image_of, restore_image
from titand.runtime.log import Log


def house_in(folder, image: bytes | None = None) -> House:
    """The memories of a daemon that has just started, maybe from a checkpoint."""
    house = House(config_in(folder, patience_seconds=30.0), slot_count=256)
    if image is not None:
        restore_image(house.arena, image, 0)
    return house


def health(front) -> dict[str, str]:
    return {item["code"]: item["message"] for item in front._keeping.health()}


def push_until_killed(folder, image: bytes | None = None) -> tuple[int, bytes]:
    """Push, take a checkpoint without samples, push more, kill; return what was pushed and the checkpoint."""
    house = house_in(folder, image)
    with front_process(house) as front, house.stubs() as stubs:
        stream = Conversation(stubs)
        stream.push(batch_of(1, [0] * 20))
        house.take(TRAINED, 12)
        checkpoint = image_of(house.arena, with_samples=False)
        stream.push(batch_of(21, [1] * 30))
        stream.push(batch_of(51, [9] * 3))  # refused
        front.process.kill()
        front.process.wait()
        return counts(house).pushed, checkpoint


def test_after_a_kill_of_everything_what_no_checkpoint_has_is_counted_to_the_sample(folder):
    pushed, checkpoint = push_until_killed(folder)
    after = house_in(folder, checkpoint)
    with after.front() as front, after.stubs() as stubs:
        stream = Conversation(stubs)
        ledger = counts(after)
        assert ledger.is_balanced
        assert (ledger.pushed, ledger.selected, ledger.lost, ledger.rejected) == (pushed, 12, 38, 3)
        assert "30 samples" in health(front)["SAMPLES_LOST"]
        assert stream.push(batch_of(1, [0])).accepted[0].first_number == 51, "a number twice"


def test_lost_goes_on_over_several_kills(folder):
    _, checkpoint = push_until_killed(folder)
    for _ in range(2):
        _, checkpoint = push_until_killed(folder, checkpoint)
    after = house_in(folder, checkpoint)
    with after.front(), after.stubs() as stubs:
        Conversation(stubs)
        ledger = counts(after)
        assert (ledger.pushed, ledger.selected, ledger.lost, ledger.is_balanced) == (159, 36, 114, True)


def test_after_a_power_cut_the_count_is_a_bound_and_numbers_go_on_behind_it(folder):
    _, checkpoint = push_until_killed(folder)
    (folder / "ledger.page").unlink()  # memory is gone
    after = house_in(folder, checkpoint)
    with after.front() as front, after.stubs() as stubs:
        stream = Conversation(stubs)
        ledger = counts(after)
        assert ledger.is_balanced
        assert 38 <= ledger.lost <= 38 + 2 * LEAST_STEP
        assert "At most" in health(front)["SAMPLES_LOST"]
        assert stream.push(batch_of(1, [0])).accepted[0].first_number > 50


def test_after_an_orderly_stop_nothing_is_taken_for_lost(folder):
    before = house_in(folder)
    with before.front(), before.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [0] * 20))
    image = image_of(before.arena, with_samples=True)
    for is_reboot in (False, True):
        if is_reboot:
            (folder / "ledger.page").unlink()
        after = house_in(folder, image)
        with after.front() as front, after.stubs() as stubs:
            Conversation(stubs)
            assert counts(after).lost == 0
            assert counts(after).buffered == 20
            assert not health(front)


@pytest.mark.parametrize("is_page_deleted", [False, True])
def test_a_front_that_dies_alone_has_lost_nothing(folder, is_page_deleted):
    house = house_in(folder)
    for first in (1, 21):
        with front_process(house) as front, house.stubs() as stubs:
            Conversation(stubs, "camera").push(batch_of(first, [0] * 20))
            front.process.kill()
        if is_page_deleted:
            (folder / "ledger.page").unlink()  # with the whole runtime folder, for instance
    with house.front() as front, house.stubs() as stubs:
        Conversation(stubs)
        assert (counts(house).pushed, counts(house).lost) == (40, 0)
        assert not health(front)


def test_another_state_folders_page_is_not_believed(folder):
    push_until_killed(folder)
    (folder / "numbers.json").unlink()
    after = house_in(folder)
    with after.front(), after.stubs() as stubs:
        stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS)
        assert (counts(after).pushed, counts(after).lost) == (0, 0)


@pytest.mark.parametrize("per_second", [0.1, 1, 50, 20_000])
def test_numbers_are_written_ahead_a_dozen_times_an_hour_whatever_the_stream(folder, per_second, monkeypatch):
    clock = HandClock()
    marks = HighWater(folder / "page", folder / "mark", True, clock, Log("front", "error", {}))
    marks.begin([0] * 16)
    writes, wrote = 0, marks._write_mark

    def counted(reserved: int) -> None:
        nonlocal writes
        writes += 1
        wrote(reserved)

    monkeypatch.setattr(marks, "_write_mark", counted)
    seconds = 3 * 3600
    for second in range(0, seconds, 10):
        clock.now = int(second * 1e9)
        given = int(second * per_second)
        marks.allow(given)
        assert given <= marks._reserved <= given + max(2 * LEAST_STEP, 700 * per_second)
    assert writes <= 15 + 15 * seconds / 3600
    assert names(folder) == ["mark", "page"]
