"""The Python client against the front: the two halves of the contract meet."""

import threading
from itertools import islice

import pytest

import titan
from tests.front.house import SAMPLE_BYTES, SECONDS, eventually
from tests.front.process import front_process
from titand.runtime.arena import FILLED, TRAINED
from titand.storage.snapshots import SnapshotStore


def sample(number):
    """A 2x2 image that only this number has."""
    return memoryview(number.to_bytes(SAMPLE_BYTES, "little")).cast("B", (2, 2))


def client_of(house):
    return titan.Client(f"unix:{house.folder / 'titand.sock'}")


def test_a_producer_learns_what_became_of_its_samples(house):
    here = house(slot_count=8)
    refusals = []
    with here.front(), titan.Client(f"unix:{here.folder}/titand.sock", on_refusal=refusals.append) as client:
        for number, label in enumerate([0, 1, 9, 2], 1):
            client.push(sample(number), label)
        totals = client.flush(SECONDS)
        assert (totals.pushed, totals.accepted, totals.rejected, totals.shed) == (4, 3, 1, 0)
        assert [refusal.reason for refusal in refusals] == ["LABEL_OUT_OF_RANGE"]
        here.take(TRAINED, 1)
        assert client.sample(client.number_of(1)).fate == "trained"
        assert client.sample(client.number_of(4)).fate == "waiting"
        ledger = client.training().sample_ledger
        assert (ledger.pushed_count, ledger.rejected_count, ledger.selected_count, ledger.buffered_count) == (
            4,
            1,
            1,
            2,
        )


def test_a_full_arena_holds_the_producer_back_and_loses_nothing(house):
    here = house(slot_count=8, patience_seconds=60.0)
    total = 300
    with here.front(), client_of(here) as client:
        done = threading.Event()
        worker = threading.Thread(target=lambda: eventually(lambda: (here.take(TRAINED, 3), done.is_set())[1]))
        worker.start()
        for number in range(1, total + 1):
            client.push(sample(number), 0)
        totals = client.flush(SECONDS)
        done.set()
        worker.join()
        assert (totals.accepted, totals.shed, totals.resent) == (total, 0, 0)
        assert client.training().sample_ledger.pushed_count == total


def test_a_producer_does_not_notice_that_the_front_was_killed(house):
    here = house(slot_count=4096)
    total = 3000
    numbers = iter(range(1, total + 1))
    with client_of(here) as client:
        for pushed_before_the_kill in (700, 400, 900):
            with front_process(here):
                for number in islice(numbers, pushed_before_the_kill):
                    client.push(sample(number), 0)
        with front_process(here):
            for number in numbers:
                client.push(sample(number), 0)
            totals = client.flush(SECONDS)
    found = [int.from_bytes(here.arena.sample(slot), "little") for slot in here.arena.slots_in(FILLED)]
    assert found == list(range(1, total + 1))
    assert (totals.pushed, totals.accepted + totals.unreported, totals.unacknowledged) == (total, total, 0)


def test_an_operator_pauses_and_takes_a_model_home(house, tmp_path):
    trainer = {"wake": dict}
    here = house(trainer=trainer)
    store = SnapshotStore(here.folder / "snapshots")
    header = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   '
    model = len(header).to_bytes(8, "little") + header + b"\7"

    def snapshot(note):
        made = store.create(3, [model], model=here.config.model_spec, create_time_ns=1, note=note)
        return {"name": made.name}

    trainer["snapshot"] = snapshot
    with here.front(), client_of(here) as client:
        client.pause("lunch")
        with pytest.raises(titan.TitanError) as caught:
            client.pause()
        assert caught.value.reason == "ALREADY_PAUSED"
        client.resume()
        assert client.create_snapshot("good").note == "good"
        client.export_model(tmp_path / "model.safetensors")
        assert (tmp_path / "model.safetensors").read_bytes() == model
