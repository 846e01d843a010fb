"""Whatever breaks: each sample is accepted exactly once, in order, or reported. Both clients, real gRPC."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import titan
from tests.client.reference_server import ReferenceServer, Script


def sample(sequence):
    """Four bytes that only this sample has."""
    return sequence.to_bytes(4, "big")


def push_with_threads(address, pushes, refusals):
    with titan.Client(address, on_refusal=refusals.append) as client:
        sequence = 0
        for count in pushes:
            if count == 1:
                assert client.push(sample(sequence + 1), 1) == sequence + 1
            else:
                data = b"".join(map(sample, range(sequence + 1, sequence + count + 1)))
                assert client.push_batch(data, [1] * count) == range(sequence + 1, sequence + count + 1)
            sequence += count
        return client.flush(30), [client.number_of(each) for each in range(1, sequence + 1)]


async def push_with_tasks(address, pushes, refusals):
    async with titan.AsyncClient(address, on_refusal=refusals.append) as client:
        sequence = 0
        for count in pushes:
            if count == 1:
                assert await client.push(sample(sequence + 1), 1) == sequence + 1
            else:
                data = b"".join(map(sample, range(sequence + 1, sequence + count + 1)))
                assert await client.push_batch(data, [1] * count) == range(sequence + 1, sequence + count + 1)
            sequence += count
        return await client.flush(30), [client.number_of(each) for each in range(1, sequence + 1)]


@pytest.mark.parametrize("library", ["threads", "tasks"])
@given(
    pushes=st.lists(st.sampled_from([1, 1, 1, 7, 50]), min_size=1, max_size=12),
    drops=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4),
    credit=st.sampled_from([1, 5, 64, 1000]),
    acknowledge_every=st.integers(1, 3),
    backoff=st.sampled_from([0.0, 0.0, 0.004]),
    verdicts=st.lists(st.sampled_from(["accept", "accept", "reject", "shed"]), min_size=1, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_each_sample_is_settled_once_and_in_order(library, pushes, drops, credit, acknowledge_every, backoff, verdicts):
    script = Script(
        credit=credit,
        drops=list(drops),
        acknowledge_every=acknowledge_every,
        backoff_seconds=backoff,
        verdict=lambda sequence: verdicts[sequence % len(verdicts)],
    )
    refusals = []
    with (
        tempfile.TemporaryDirectory(prefix="titan-") as folder,
        ReferenceServer(str(Path(folder) / "s"), script) as server,
    ):
        if library == "threads":
            totals, numbers = push_with_threads(server.address, pushes, refusals)
        else:
            totals, numbers = asyncio.run(push_with_tasks(server.address, pushes, refusals))

    count = sum(pushes)
    fate = {sequence: script.verdict(sequence) for sequence in range(1, count + 1)}
    assert [kept.sequence for kept in server.kept] == [each for each in fate if fate[each] == "accept"]
    assert all(kept.data == sample(kept.sequence) for kept in server.kept)
    assert server.most_under_way <= credit

    assert totals.pushed == count
    assert totals.unacknowledged == 0
    assert totals.accepted + totals.rejected + totals.shed + totals.unreported == count
    heard = [sequence for each in refusals for sequence in range(each.first_sequence, each.first_sequence + each.count)]
    assert len(heard) == len(set(heard)) == totals.rejected + totals.shed
    assert all(fate[sequence] != "accept" for sequence in heard)
    truth = {kept.sequence: kept.number for kept in server.kept}
    assert all(number in (None, truth.get(place)) for place, number in enumerate(numbers, start=1))
    assert sum(number is not None for number in numbers) == totals.accepted
    if not drops:
        assert totals.unreported == totals.resent == 0
