"""Labels that come late: who gets them, who does not, and that each is answered for."""

from __future__ import annotations

import os
import random
import threading

import grpc
import pytest

from tests.front.house import LABELS, SECONDS, Conversation, House, batch_of, config_in, eventually, info_of
from tests.front.process import front_process
from titan.v1.sample_service_pb2 import GetSampleRequest, LabelSamplesRequest, LabelSamplesResponse, Sample
from titan.v1.training_service_pb2 import GetTrainingRequest
from titand.front.labelling import MOST_LABELS, PORTION
from titand.front.server import pending_count
from titand.runtime.arena import CANDIDATE, EXPIRED, FILLED, HELD_OUT, PENDING_LABEL, SELECTED, TRAINED
from titand.runtime.counters import LOGGED
from titand.runtime.image import image_of, restore_image

LAST = len(LABELS) - 1


def ledger_of(stubs):
    return stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS).sample_ledger


def label(stubs, numbers, labels):
    """Label samples, asking again as long as a front that has just started refuses; return the outcomes by name."""
    outcomes = []

    def is_answered():
        try:
            request = LabelSamplesRequest(numbers=numbers, labels=labels)
            outcomes.append(stubs.samples.LabelSamples(request, timeout=SECONDS).outcomes)
        except grpc.RpcError as error:
            if "coming back from the log" not in error.details():
                raise
        return outcomes

    eventually(is_answered)
    assert len(outcomes[0]) == len(numbers)
    name = LabelSamplesResponse.Outcome.Name
    return [name(outcome).removeprefix("OUTCOME_") for outcome in outcomes[0]]


def fate_of(stubs, number):
    return stubs.samples.GetSample(GetSampleRequest(name=f"samples/{number}"), timeout=SECONDS)


class Corrector:
    """Plays the selector: corrects what is in the arena, and remembers what it was asked."""

    def __init__(self):
        self.house = None
        self.asked = []

    def __call__(self, corrections):
        self.asked.append(corrections)
        for slot, number, new in corrections:
            assert self.house.arena.number[slot] == number
            self.house.arena.label[slot] = new
        return {"outcomes": ["corrected"] * len(corrections)}


@pytest.fixture
def corrected(house):
    """Make a house whose selector answers."""

    def build(**options):
        corrector = Corrector()
        made = house(**options)
        made.selector, made.corrector = {"correct": corrector}, corrector
        corrector.house = made
        return made

    return build


def test_a_sample_without_a_label_is_kept_aside_until_that_comes(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        answer = Conversation(stubs).push(batch_of(1, [0, -1, 2, -1]))
        assert sum(run.count for run in answer.accepted) == 4
        assert [here.arena.number[slot] for slot in here.arena.slots_in(FILLED)] == [1, 3]
        assert (ledger_of(stubs).pending_label_count, ledger_of(stubs).buffered_count) == (2, 2)
        waiting = fate_of(stubs, 2)
        assert (waiting.fate, waiting.HasField("label")) == (Sample.FATE_PENDING_LABEL, False)
        assert waiting.accept_time.ToNanoseconds() > 0

        assert label(stubs, [4, 2], [1, LAST]) == ["JOINED", "JOINED"]
        slots = here.arena.slots_in(FILLED)
        assert [(here.arena.number[slot], here.arena.label[slot]) for slot in slots] == [
            (1, 0),
            (2, LAST),
            (3, 2),
            (4, 1),
        ]
        assert [int.from_bytes(here.arena.sample(slot), "little") for slot in slots] == [1, 2, 3, 4]
        assert (ledger_of(stubs).pending_label_count, ledger_of(stubs).buffered_count) == (0, 4)
        assert fate_of(stubs, 2).label == LAST


def test_labels_in_any_order_reach_each_their_own_sample(house):
    here = house(slot_count=1024, pending_bytes=2048)
    order = list(range(1, 501))
    random.Random(0).shuffle(order)
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1] * 500))
        for start in range(0, 500, 7):
            some = order[start : start + 7]
            assert set(label(stubs, some, [number % 3 for number in some])) == {"JOINED"}
        slots = here.arena.slots_in(FILLED)
        assert len(slots) == 500
        assert all(here.arena.label[slot] == here.arena.number[slot] % 3 for slot in slots)


def test_the_selector_is_woken_by_labels_and_not_by_samples_without(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1, -1]))
        with pytest.raises(BlockingIOError):
            os.eventfd_read(here.filled)
        label(stubs, [1, 2], [0, 0])
        assert os.eventfd_read(here.filled) == 2


def test_a_label_for_nobody_is_named_and_counted_as_an_orphan(house):
    here = house(slot_count=8)
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        stream.push(batch_of(1, [0, 1]))
        here.take(TRAINED)
        stream.push(batch_of(3, [0] * 8))  # and their places are taken by others
        outcomes = label(stubs, [1, 2, 11, 0, -5, 2**62], [1, 1, 1, 1, 1, 1])
        assert outcomes == ["TOO_LATE", "TOO_LATE", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"]
        ledger = ledger_of(stubs)
        assert ledger.orphan_label_count == 6
        assert ledger.pushed_count == ledger.buffered_count + ledger.selected_count == 10


def test_a_label_that_is_no_class_is_rejected_and_the_sample_goes_on_waiting(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1]))
        impossible = [-1, LAST + 1, -(2**31), 2**31 - 1]
        assert label(stubs, [1] * 4, impossible) == ["REJECTED"] * 4
        assert ledger_of(stubs).pending_label_count == 1
        assert ledger_of(stubs).orphan_label_count == 0
        assert label(stubs, [1], [LAST]) == ["JOINED"]


def test_a_label_twice_changes_nothing_and_another_one_is_a_correction(corrected):
    here = corrected()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1, -1]))
        assert label(stubs, [1, 1], [1, 2]) == ["JOINED", "CORRECTED"]
        slot = here.arena.slots_in(FILLED)[0]
        assert here.corrector.asked == [[[slot, 1, 2]]]
        assert here.arena.label[slot] == 2
        here.take(TRAINED)
        assert label(stubs, [1, 1], [2, 0]) == ["UNCHANGED", "TOO_LATE"]


@pytest.mark.parametrize("state", [FILLED, CANDIDATE, HELD_OUT])
def test_who_holds_a_sample_is_asked_to_correct_it(corrected, state):
    here = corrected()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [0, 1]))
        here.take(state)
        assert label(stubs, [2, 1], [0, 1]) == ["CORRECTED", "CORRECTED"]
        assert [here.arena.label[slot] for slot in here.arena.slots_in(state)] == [1, 0]
        assert ledger_of(stubs).orphan_label_count == 0


def test_a_sample_that_is_selected_is_out_of_reach(corrected):
    here = corrected()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [0, 1]))
        here.take(SELECTED)
        assert label(stubs, [1, 2], [1, 1]) == ["TOO_LATE", "UNCHANGED"]
        assert here.corrector.asked == []
        assert ledger_of(stubs).orphan_label_count == 1


def test_many_corrections_are_asked_for_in_portions(corrected):
    here = corrected(slot_count=3 * PORTION)
    count = 2 * PORTION + 1
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [0] * count))
        assert label(stubs, range(1, count + 1), [1] * count) == ["CORRECTED"] * count
        assert [len(portion) for portion in here.corrector.asked] == [PORTION, PORTION, 1]


def test_corrections_that_nobody_answers_are_said_to_be_unanswered_and_the_rest_is_done(house):
    here = house()  # whose selector is gone
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [0, -1]))
        assert label(stubs, [1, 2, 3], [1, 1, 1]) == ["UNANSWERED", "JOINED", "UNKNOWN"]
        assert ledger_of(stubs).orphan_label_count == 1


def test_labels_that_do_not_come_are_waited_for_no_longer_than_configured(house):
    here = house(label_patience_seconds=0.0)
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1, 0, -1]))
        eventually(lambda: ledger_of(stubs).expired_count == 2)
        assert ledger_of(stubs).pending_label_count == 0
        assert fate_of(stubs, 1).fate == Sample.FATE_EXPIRED
        assert label(stubs, [1], [0]) == ["TOO_LATE"]


def test_the_patience_for_labels_changes_while_running(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1]))
        here.boards.write("settings", {"ingest.label_patience_seconds": 0.0})
        eventually(lambda: ledger_of(stubs).expired_count == 1)


def test_where_too_many_wait_the_oldest_give_way_and_labelled_samples_keep_their_room(house):
    here = house(slot_count=64, pending_bytes=40)  # ten samples
    with here.front(), here.stubs() as stubs:
        stream = Conversation(stubs)
        answer = stream.push(batch_of(1, [-1] * 25))
        assert sum(run.count for run in answer.accepted) == 25
        assert [here.arena.number[slot] for slot in here.arena.slots_in(PENDING_LABEL)] == list(range(16, 26))
        assert (ledger_of(stubs).pending_label_count, ledger_of(stubs).expired_count) == (10, 15)
        answer = stream.push(batch_of(26, [0] * 60))
        assert sum(run.count for run in answer.accepted) == 54


@pytest.mark.parametrize(("pending_bytes", "expected"), [(0, 250), (40, 10), (3, 1), (4000, 500)])
def test_the_room_for_samples_without_labels_is_as_configured_and_never_more_than_half(
    tmp_path, pending_bytes, expected
):
    assert pending_count(config_in(tmp_path, pending_bytes=pending_bytes), slot_count=1000) == expected


@pytest.mark.parametrize(
    ("numbers", "labels", "reason"),
    [([1, 2], [0], "LABELS_MISMATCHED"), (range(1_000_000), [0] * 1_000_000, "TOO_MANY_LABELS")],
)
def test_a_request_that_makes_no_sense_is_refused_whole_with_its_reason(house, numbers, labels, reason):
    here = house()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1, -1]))
        with pytest.raises(grpc.RpcError) as caught:
            stubs.samples.LabelSamples(LabelSamplesRequest(numbers=numbers, labels=labels), timeout=SECONDS)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert info_of(caught.value).reason == reason
        assert info_of(caught.value).metadata["remedy"]
        assert ledger_of(stubs).pending_label_count == 2
        assert ledger_of(stubs).orphan_label_count == 0


def test_as_many_labels_as_are_taken_at_once_may_all_be_unknown(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        assert label(stubs, range(1, MOST_LABELS + 1), [0] * MOST_LABELS) == ["UNKNOWN"] * MOST_LABELS
        assert ledger_of(stubs).orphan_label_count == MOST_LABELS
        assert label(stubs, [], []) == []


def test_the_next_front_knows_who_waits_and_who_came_too_late(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1, -1, -1]))
        assert label(stubs, [2], [1]) == ["JOINED"]
    with here.front(), here.stubs() as stubs:
        assert label(stubs, [3, 1], [0, 2]) == ["JOINED", "JOINED"]
        slots = here.arena.slots_in(FILLED)
        assert [here.arena.label[slot] for slot in slots] == [2, 1, 0]


def test_two_who_label_the_same_samples_join_each_once(house):
    here = house(slot_count=1024, pending_bytes=2048)
    here.selector = {"correct": lambda corrections: {"outcomes": ["unchanged"] * len(corrections)}}
    found = []
    with here.front(), here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1] * 400))

        def labeller(seed):
            order = list(range(1, 401))
            random.Random(seed).shuffle(order)
            for start in range(0, 400, 16):
                found.extend(label(stubs, order[start : start + 16], [1] * 16))

        threads = [threading.Thread(target=labeller, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (found.count("JOINED"), found.count("UNCHANGED")) == (400, 400)
        assert len(here.arena.slots_in(FILLED)) == 400


def test_no_label_that_was_joined_is_lost_whenever_the_front_is_killed(house):
    here = house(slot_count=4096, pending_bytes=8000)
    total = 1000
    joined = []
    with front_process(here) as front, here.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1] * total))
        front.process.kill()
    for after in (1, 17, 40, None):  # requests until the kill
        with front_process(here) as front, here.stubs() as stubs:
            left = [number for number in range(1, total + 1) if number not in set(joined)]
            try:
                for sent, start in enumerate(range(0, len(left), 8), 1):
                    if sent == after:
                        front.process.kill()
                    some = left[start : start + 8]
                    label(stubs, some, [number % 3 for number in some])
                    joined += some
            except grpc.RpcError:
                assert after is not None
    slots = here.arena.slots_in(FILLED)
    assert [here.arena.number[slot] for slot in slots] == list(range(1, total + 1))
    assert all(here.arena.label[slot] == here.arena.number[slot] % 3 for slot in slots)
    assert here.arena.slots_in(PENDING_LABEL) == here.arena.slots_in(EXPIRED) == []


def test_labels_are_as_durable_as_samples(tmp_path):
    """After the end of all processes: joined, corrected before they were joined, corrected after."""
    config = config_in(tmp_path, durable=True)
    before, corrector = House(config), Corrector()
    before.selector, corrector.house = {"correct": corrector}, before
    with before.front(), before.stubs() as stubs:
        Conversation(stubs).push(batch_of(1, [-1, 0, -1, 1]))
        assert label(stubs, [3, 2], [2, 1]) == ["JOINED", "CORRECTED"]
        assert label(stubs, [3, 5], [0, 0]) == ["CORRECTED", "UNKNOWN"]
    after = House(config)
    with after.front(), after.stubs() as stubs:
        eventually(lambda: len(after.arena.slots_in(FILLED)) == 3)
        assert fate_of(stubs, 1).fate == Sample.FATE_PENDING_LABEL
        assert [after.arena.label[slot] for slot in after.arena.slots_in(FILLED)] == [1, 0, 1]
        assert label(stubs, [1], [2]) == ["JOINED"]


def test_no_sample_comes_back_from_the_log_with_a_label_that_was_corrected(tmp_path):
    """Not for a moment: the selector may take it up at once."""
    config = config_in(tmp_path, durable=True)
    before, corrector = House(config, slot_count=256), Corrector()
    before.selector, corrector.house = {"correct": corrector}, before
    with before.front(), before.stubs() as stubs:
        stream = Conversation(stubs)
        stream.push(batch_of(1, [0] * 40))
        before.take(CANDIDATE, 10)
        before.take(HELD_OUT, 10)
        image = image_of(before.arena, with_samples=True)
        stream.push(batch_of(41, [0] * 40))
        stream.push(batch_of(81, [-1] * 40))
        assert set(label(stubs, range(81, 121), [0] * 40)) == {"JOINED"}
        for wanted in (2, 1):
            assert set(label(stubs, range(1, 121), [wanted] * 120)) == {"CORRECTED"}
    after = House(config, slot_count=100)
    restore_image(after.arena, image, 0)
    seen = {}

    def consume():
        slots = [slot for state in (CANDIDATE, HELD_OUT, FILLED) for slot in after.arena.slots_in(state)]
        seen.update((after.arena.number[slot], after.arena.label[slot]) for slot in slots)
        after.arena.mark(slots, TRAINED)
        return len(seen) == 120

    with after.front():
        eventually(lambda: after.arena.counters[LOGGED] > 1)
        eventually(consume)
    assert seen == dict.fromkeys(range(1, 121), 1)
