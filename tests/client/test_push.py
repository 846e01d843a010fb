"""Pushing with either client against a real server: blocking, refusing, breaking, closing."""

from __future__ import annotations

import asyncio
import logging
import threading

import grpc
import pytest

import titan
from tests.client.conftest import close_quietly
from tests.client.reference_server import LABELS, Script, abort

SAMPLE = b"abcd"


def sequences(server):
    return [kept.sequence for kept in server.kept]


def test_what_is_pushed_arrives_with_its_label_and_its_time(serve, client_of):
    server = serve()
    with client_of(server, producer="camera") as client:
        assert client.push(b"abcd", 1, observe_time=2.5) == 1
        assert client.push(memoryview(b"efgh"), 2) == 2
        assert client.push_batch(b"ijklmnop", [0, 1], observe_times=[3.0, 4.0]) == range(3, 5)
        totals = client.flush()
    found = [(kept.data, kept.label, kept.time_ns) for kept in server.kept]
    assert found == [(b"abcd", 1, 2_500_000_000), (b"efgh", 2, None), (b"ijkl", 0, 3 * 10**9), (b"mnop", 1, 4 * 10**9)]
    assert totals == titan.PushTotals(4, 4, 0, 0, 0, 0, 0)
    assert server.openings[0].producer == "camera"


def test_the_client_knows_what_the_server_takes(serve, client_of):
    with client_of(serve()) as client:
        assert client.input() == (titan.TensorSpec("uint8", (4,)), LABELS)


def test_two_clients_are_two_streams(serve, client_of):
    server = serve()
    with client_of(server) as one, client_of(server) as other:
        one.push(SAMPLE, 0)
        other.push(SAMPLE, 0)
    assert len({opening.stream_id for opening in server.openings}) == 2


def test_a_large_batch_goes_out_in_messages_of_a_good_size(serve, client_of):
    server = serve(Script(max_message_bytes=3 << 20))
    samples = memoryview(bytes(range(250)) * 20_000).cast("B", (20, 250_000))
    with client_of(server) as client:
        client.push_batch(samples, [0] * 20)
    assert server.largest_message <= 1 << 20
    assert server.batch_sizes == [4] * 5
    assert b"".join(kept.data for kept in server.kept) == samples.tobytes()


def test_no_message_is_larger_than_the_server_takes(serve, client_of):
    server = serve(Script(max_message_bytes=1000))
    with client_of(server) as client:
        client.push_batch(bytes(4 * 500), [0] * 500)
    assert server.largest_message <= 1000
    assert len(server.kept) == 500


def test_a_sample_that_fits_no_message_is_refused_with_the_limit_and_pushing_goes_on(serve, client_of):
    server = serve(Script(max_message_bytes=1000))
    with client_of(server) as client:
        with pytest.raises(titan.InvalidSample, match="the daemon takes 1000") as caught:
            client.push(memoryview(bytes(2000)), 0)
        assert caught.value.reason == "SAMPLE_TOO_LARGE"
        client.push(SAMPLE, 0)
        assert client.flush() == titan.PushTotals(1, 1, 0, 0, 0, 0, 0)


def test_what_cannot_be_sent_is_refused_before_it_is_counted(serve, client_of):
    with client_of(serve()) as client:
        for wrong, label in ((["list"], 0), (SAMPLE, "cat"), (b"", 0)):
            with pytest.raises(titan.InvalidSample):
                client.push(wrong, label)
        assert client.flush().pushed == 0


def test_refusals_are_kept_and_told_and_counted(serve, client_of, caplog):
    told = []

    def listener(refusal):
        told.append(refusal)
        raise RuntimeError("the app's own mistake")

    script = Script(verdict=lambda sequence: {2: "reject", 3: "shed"}.get(sequence, "accept"))
    with caplog.at_level(logging.ERROR), client_of(serve(script), on_refusal=listener) as client:
        client.push_batch(SAMPLE * 4, [0] * 4)
        totals = client.flush()
        assert client.refusals == tuple(told)
        assert [client.number_of(sequence) for sequence in (1, 2, 3, 4, 5)] == [1, None, None, 2, None]
    assert [(each.first_sequence, each.kind, each.reason) for each in told] == [
        (2, "rejected", "REJECT"),
        (3, "shed", "SHED"),
    ]
    assert (totals.accepted, totals.rejected, totals.shed) == (2, 1, 1)
    assert "on_refusal failed" in caplog.text


def test_a_client_that_breaks_inside_tells_who_waits(serve):
    def listener(refusal):
        raise SystemExit

    server = serve(Script(verdict=lambda sequence: "reject"))
    client = titan.Client(server.address, on_refusal=listener)
    client.push(SAMPLE, 0)
    for ask in (client.flush, lambda: client.push(SAMPLE, 0)):
        with pytest.raises(titan.TitanError, match="SystemExit") as caught:
            ask()
        assert caught.value.reason == "CLIENT_FAILED"
    close_quietly(client)


def test_pushing_blocks_while_the_daemon_does(serve, client_of):
    script = Script(credit=3)
    server = serve(script)
    client = client_of(server)
    client.input()
    script.gate.clear()
    client.push_batch(SAMPLE * 3, [0] * 3)
    assert not client.try_push(SAMPLE, 0)
    with pytest.raises(titan.TimedOut, match="3 samples are unacknowledged"):
        client.push(SAMPLE, 0, timeout=0.05)
    with pytest.raises(titan.TimedOut):
        client.flush(timeout=0.05)
    script.gate.set()
    assert client.push(SAMPLE, 0) == 4
    assert client.flush() == titan.PushTotals(4, 4, 0, 0, 0, 0, 0)
    assert sequences(server) == [1, 2, 3, 4]
    client.close()


def test_a_batch_larger_than_the_credit_goes_through_in_parts(serve, client_of):
    server = serve(Script(credit=3))
    with client_of(server) as client:
        assert client.push_batch(SAMPLE * 100, [0] * 100) == range(1, 101)
    assert sequences(server) == list(range(1, 101))
    assert server.most_under_way <= 3


def test_a_server_that_asks_for_a_pause_gets_it_and_then_everything(serve, client_of):
    server = serve(Script(credit=10, backoff_seconds=0.01))
    with client_of(server) as client:
        client.push_batch(SAMPLE * 50, [0] * 50)
        assert client.flush(30).accepted == 50


def test_try_push_takes_what_there_is_room_for(serve, client_of):
    server = serve()
    with client_of(server) as client:
        client.input()
        assert client.try_push(SAMPLE, 1)
        assert client.flush().accepted == 1


def test_try_push_never_waits_for_a_daemon_that_is_not_there(folder, client_of):
    assert not client_of(str(folder / "none")).try_push(memoryview(SAMPLE), 1)


def test_a_daemon_that_comes_back_gets_what_it_missed(serve, client_of):
    server = serve()
    client = client_of(server)
    client.push_batch(SAMPLE * 10, [0] * 10)
    client.flush()
    server.stop()
    client.push_batch(SAMPLE * 10, [0] * 10)
    with pytest.raises(titan.TimedOut):
        client.flush(timeout=0.1)
    server.start()
    assert client.flush(30).accepted == 20
    assert sequences(server) == list(range(1, 21))
    assert [opening.stream_id for opening in server.openings] == [server.openings[0].stream_id] * 2
    client.close()


def test_a_daemon_that_forgot_the_stream_is_sent_what_it_had_not_acknowledged(serve, client_of):
    script = Script(drops=[(2, False)], forgets=True, acknowledge_every=100)
    server = serve(script)
    with client_of(server) as client:
        client.push_batch(SAMPLE * 5, [0] * 5)
        client.flush()
        client.push_batch(SAMPLE * 5, [0] * 5)
        totals = client.flush(30)
    assert totals == titan.PushTotals(10, 10, 0, 0, 0, 0, 5)
    assert sequences(server) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 6, 7, 8, 9, 10][: len(server.kept)]
    assert set(sequences(server)) == set(range(1, 11))


@pytest.mark.parametrize("when", ["first", "later"])
def test_an_error_that_will_not_pass_is_told_with_its_remedy(serve, client_of, when):
    def refuse(context):
        abort(context, grpc.StatusCode.ABORTED, "TAKEN_OVER", "Somebody else pushes this.", remedy="Give it a name.")

    server = serve(Script(refuse=refuse) if when == "first" else Script(drops=[(1, False)]))
    client = client_of(server)
    if when == "later":
        client.input()
        server.script.refuse = refuse
        client.try_push(SAMPLE, 0)
        wait = client.flush
    else:
        wait = client.input
    for ask in (wait, lambda: client.push(SAMPLE, 0)):
        with pytest.raises(titan.TitanError, match=r"Somebody else pushes this\. Give it a name\.") as caught:
            ask()
        assert (caught.value.code, caught.value.reason) == ("ABORTED", "TAKEN_OVER")


def test_too_many_streams_is_final_at_first_and_waited_out_later(serve, client_of):
    refusals = []

    def refuse(context):
        refusals.append(context)
        if len(refusals) > 3:
            server.script.refuse = None
        abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", "Full.")

    server = serve(Script(drops=[(1, True)]))
    with client_of(server) as client:
        client.push(SAMPLE, 0)
        client.flush()
        server.script.refuse = refuse
        client.push(SAMPLE, 0)
        assert client.flush(30).accepted == 2
    assert len(refusals) == 4
    server.script.refuse = refuse
    refusals.clear()
    with pytest.raises(titan.TitanError, match="Full"):
        client_of(server).push(SAMPLE, 0)


def test_closing_waits_for_what_is_under_way(serve, client_of):
    server = serve()
    with client_of(server) as client:
        for number in range(100):
            client.push(SAMPLE, number % 3)
    assert sequences(server) == list(range(1, 101))


def test_closing_says_what_is_left(serve, client_of):
    server = serve()
    client = client_of(server)
    client.input()
    server.script.gate.clear()
    client.push_batch(SAMPLE * 3, [0] * 3)
    with pytest.raises(titan.TimedOut, match=r"3 samples are unacknowledged\. They are given up"):
        client.close(timeout=0.05)


def test_an_error_in_the_body_is_not_hidden_by_what_is_left(serve, client_of, caplog):
    server = serve()

    def fail():
        with client_of(server) as client:
            client.input()
            server.script.gate.clear()
            client.push(SAMPLE, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "1 samples are unacknowledged" in caplog.text


def test_a_closed_client_says_so(serve, client_of):
    client = client_of(serve())
    client.push(SAMPLE, 0)
    with client:
        pass
    if isinstance(client, titan.Client):
        with pytest.raises(titan.TitanError, match="closed"):
            client.push(SAMPLE, 0)


def test_many_threads_share_a_client_and_a_batch_stays_together(serve):
    server = serve(Script(credit=50))
    batches = []
    with titan.Client(server.address) as client:

        def work(label):
            for _ in range(20):
                client.push(SAMPLE, label)
                batches.append((label, client.push_batch(SAMPLE * 7, [label] * 7)))

        threads = [threading.Thread(target=work, args=(label,)) for label in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush().accepted == 6 * 20 * 8
    assert sequences(server) == list(range(1, 6 * 20 * 8 + 1))
    label_of = {kept.sequence: kept.label for kept in server.kept}
    assert all(label_of[sequence] == label for label, places in batches for sequence in places)


def test_tasks_share_a_client_and_a_batch_stays_together(serve):
    server = serve(Script(credit=20))

    async def work():
        async with titan.AsyncClient(server.address) as client:
            pushes = (client.push_batch(SAMPLE * 9, [label % 3] * 9) for label in range(30))
            return await asyncio.gather(*pushes), await client.flush()

    places, totals = asyncio.run(work())
    assert totals.accepted == 270
    assert [len(each) for each in places] == [9] * 30
    label_of = {kept.sequence: kept.label for kept in server.kept}
    assert all(label_of[sequence] == label % 3 for label, each in enumerate(places) for sequence in each)


def test_nothing_pushed_needs_no_connection(folder, client_of):
    with client_of(str(folder / "none")) as client:
        assert client.flush() == client.totals == titan.PushTotals(0, 0, 0, 0, 0, 0, 0)
        assert client.refusals == ()
        assert client.number_of(1) is None
