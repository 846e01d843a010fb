"""The conversations that the reference server has had, with the front itself."""

from __future__ import annotations

import threading

import pytest

import titan
from tests.front.house import LABELS, House, config_in, eventually
from titand.runtime.arena import FILLED, TRAINED
from titand.runtime.arena import FILTERED as FILTERED_SLOT


def sample(sequence):
    """Four bytes that only this sample has, in the model's shape."""
    return memoryview(sequence.to_bytes(4, "big")).cast("B", (2, 2))


def filled(house):
    """What lies in the arena, oldest first."""
    return [bytes(house.arena.sample(slot)) for slot in house.arena.slots_in(FILLED)]


@pytest.fixture
def house(folder):
    return House(config_in(folder), slot_count=5000)


@pytest.fixture
def address(house):
    return str(house.folder / "titand.sock")


def test_samples_lie_in_the_arena_in_order_and_can_be_asked_for(house, address, client_of):
    with house.front(), client_of(address, producer="camera") as client:
        assert client.input() == (titan.TensorSpec("uint8", (2, 2)), LABELS)
        for sequence in range(1, 101):
            client.push(sample(sequence), sequence % 3)
        client.push_batch(b"".join(bytes(sample(sequence)) for sequence in range(101, 501)), [0] * 400)
        assert client.flush(10) == titan.PushTotals(500, 500, 0, 0, 0, 0, 0)
        assert filled(house) == [bytes(sample(sequence)) for sequence in range(1, 501)]
        found = client.sample(client.number_of(7))
        assert (found.fate, found.label) == ("waiting", 1)
        training = client.training()
        assert training.sample_ledger.pushed_count == 500
        assert training.sample_ledger.is_balanced
        assert [(each.producer, each.accepted_count) for each in training.streams] == [("camera", 500)]


def test_labels_may_come_when_the_samples_are_long_under_way(house, address, client_of):
    with house.front(), client_of(address) as client:
        places = [
            client.push(sample(1)),
            client.push(sample(2), 1),
            *client.push_batch([sample(3), sample(4)], [None, 2]),
        ]
        places += client.push_batch(bytes(sample(5)) + bytes(sample(6)))
        assert client.try_push(sample(7))
        assert client.flush(10).accepted == 7
        numbers = [client.number_of(place) for place in places]
        assert filled(house) == [bytes(sample(2)), bytes(sample(4))]
        assert client.sample(numbers[0]).fate == "pending_label"
        assert client.sample(numbers[0]).label is None
        wanted = [numbers[4], numbers[0], numbers[2], 10**6]
        assert client.label(wanted, [2, 0, 1, 1]) == ["joined", "joined", "joined", "unknown"]
        assert client.sample(numbers[4]).label == 2
        assert filled(house) == [bytes(sample(sequence)) for sequence in range(1, 6)]
        ledger = client.training().sample_ledger
        assert (ledger.pending_label_count, ledger.orphan_label_count) == (2, 1)
        assert ledger.is_balanced


@pytest.mark.parametrize(
    ("wrong", "label", "reason"),
    [
        (sample(1), 3, "LABEL_OUT_OF_RANGE"),
        (sample(1), -2, "LABEL_OUT_OF_RANGE"),
        (memoryview(bytes(8)).cast("h", (2, 2)), 0, "WRONG_TYPE"),
        (memoryview(bytes(4)), 0, "WRONG_SHAPE"),
        (b"abc", 0, "WRONG_SIZE"),
    ],
)
def test_what_does_not_suit_the_model_is_refused_alone(house, address, client_of, wrong, label, reason):
    with house.front(), client_of(address) as client:
        client.push(sample(1), 0)
        client.push(wrong, label)
        client.push(sample(3), 1)
        totals = client.flush(10)
        assert (totals.accepted, totals.rejected) == (2, 1)
        (refusal,) = client.refusals
        assert (refusal.first_sequence, refusal.count, refusal.kind, refusal.reason) == (2, 1, "rejected", reason)
        assert refusal.message
        assert client.training().sample_ledger.is_balanced
    assert filled(house) == [bytes(sample(1)), bytes(sample(3))]


def test_a_nan_is_refused(folder, client_of):
    numpy = pytest.importorskip("numpy")
    house = House(config_in(folder, "float32", (3,)))
    with house.front(), client_of(str(house.folder / "titand.sock")) as client:
        client.push_batch(numpy.array([[1, 2, 3], [1, numpy.nan, 3], [4, 5, 6]], numpy.float32), [0, 1, 2])
        assert client.flush(10).rejected == 1
        assert client.refusals[0].reason == "NOT_FINITE"


def test_a_sample_above_the_limit_is_told_before_it_is_sent(folder, client_of):
    house = House(config_in(folder, max_message_bytes=100_000))
    with house.front(), client_of(str(house.folder / "titand.sock")) as client:
        with pytest.raises(titan.InvalidSample, match="the daemon takes 100000"):
            client.push(memoryview(bytes(200_000)), 0)
        client.push_batch(bytes(4 * 50), [0] * 50)
        assert client.flush(10).accepted == 50


def test_a_full_daemon_sheds_by_name_and_takes_again_when_there_is_room(folder, client_of):
    house = House(config_in(folder), slot_count=64)
    with house.front(), client_of(str(house.folder / "titand.sock")) as client:
        client.push_batch(bytes(4 * 100), [0] * 100)
        totals = client.flush(10)
        assert totals.accepted + totals.shed == 100
        assert totals.shed > 0
        assert {each.kind for each in client.refusals} == {"shed"}
        house.take(TRAINED)
        client.push(sample(1), 0)
        assert client.flush(10).accepted == totals.accepted + 1
        assert client.training().sample_ledger.is_balanced


def test_a_front_that_is_started_again_finds_every_sample_once(house, address, client_of):
    client = client_of(address)
    stop, count = threading.Event(), 0

    def push():
        nonlocal count
        while not stop.is_set():
            count += 1
            client.push(sample(count), 0)

    def reached(number):
        return lambda: client.totals.pushed - client.totals.unacknowledged >= number

    pushing = threading.Thread(target=push)
    for turn in range(4):
        with house.front():
            if turn == 0:
                pushing.start()
            eventually(reached(client.totals.pushed + 50))
    with house.front():
        stop.set()
        pushing.join()
        totals = client.flush(20)
        assert totals.unacknowledged == totals.rejected == 0
        ledger = client.training().sample_ledger
        client.close()
    assert ledger.is_balanced
    assert ledger.pushed_count == totals.pushed == count
    assert filled(house) == [bytes(sample(sequence)) for sequence in range(1, count + 1)][: len(filled(house))]
    assert len(filled(house)) + totals.shed == count


def test_errors_of_the_front_come_with_reason_and_remedy(house, address, client_of):
    with house.front(), client_of(address) as client:
        for call, reason in (
            (lambda: client.sample(10**6), "SAMPLE_UNKNOWN"),
            (lambda: client.snapshot("421"), "SNAPSHOT_NOT_FOUND"),
            (client.telemetry, "NO_READING_YET"),
        ):
            with pytest.raises(titan.TitanError) as caught:
                call()
            assert caught.value.reason == reason
            assert caught.value.remedy
        assert client.snapshots() == []
    with pytest.raises(titan.Unreachable):
        client_of(address).training()


def test_a_producer_name_that_is_too_long_is_refused(house, address, client_of):
    with house.front(), pytest.raises(titan.TitanError, match="64"):
        client_of(address, producer="x" * 65).input()


def test_a_sample_that_the_filter_let_go_says_so(house, address, client_of):
    with house.front(), client_of(address) as client:
        client.push(sample(1), 0)
        client.flush(10)
        house.take(FILTERED_SLOT)
        assert client.sample(1).fate == "filtered"
