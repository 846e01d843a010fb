"""The stream against a server that keeps books of its own, over a network that breaks at any moment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from titan.batch import Batch
from titan.errors import InvalidSample, TitanError
from titan.records import AcceptedRun, Refusal, TensorSpec
from titan.stream import GATHER_SAMPLES, GATHER_SECONDS, MESSAGE_OVERHEAD, SAMPLE_OVERHEAD, PushStream

SPECS = (TensorSpec("uint8", (8,)), TensorSpec("uint8", (2, 12)))
LABELS = ("cat", "dog")
LARGEST = 4 * (24 + SAMPLE_OVERHEAD) + MESSAGE_OVERHEAD  # four of the larger samples


def content(sequence, spec):
    """Bytes that only this sample has."""
    return sequence.to_bytes(4, "big") * (spec.size_bytes // 4)


def samples(first, count, spec=SPECS[0], timed=False):
    """Neighbouring samples, as an app would push them."""
    numbers = range(first, first + count)
    times = tuple(1000 + number for number in numbers) if timed else ()
    return Batch(0, spec, [n % 2 for n in numbers], times, b"".join(content(n, spec) for n in numbers))


def opened(acknowledged=0, credit=100, max_message_bytes=1 << 20):
    """A stream that is connected."""
    stream = PushStream("s")
    stream.opened(acknowledged, SPECS[0], LABELS, max_message_bytes, credit)
    return stream


class Producer(RuleBasedStateMachine):
    """An app, a network that loses what is on it when it breaks, and a server that remembers what it settled."""

    def __init__(self):
        super().__init__()
        self.stream = PushStream("s")
        self.now = 0.0
        self.pushed = {}  # sequence: (spec, timed)
        self.credit = 0
        # The server's side: what it has settled, what it has accepted, what it has not told yet.
        self.settled = 0
        self.numbers = {}
        self.untold = ([], [])
        # The network.
        self.forth = []
        self.back = []

    @initialize(credit=st.integers(1, 12))
    def connect_first(self, credit):
        self.connect(credit)

    @precondition(lambda self: not self.stream.is_open)
    @rule(credit=st.integers(1, 12))
    def connect(self, credit):
        self.credit = credit
        self.untold = ([], [])
        self.stream.opened(self.settled, SPECS[0], LABELS, LARGEST, credit)

    @rule(count=st.integers(1, 6), spec=st.sampled_from(SPECS), timed=st.booleans())
    def push(self, count, spec, timed):
        count = min(count, self.stream.room(spec.size_bytes))
        if count == 0:
            return
        first = self.stream.last_sequence + 1
        assert self.stream.add(samples(first, count, spec, timed), self.now) == first
        self.pushed.update(dict.fromkeys(range(first, first + count), (spec, timed)))

    @rule(seconds=st.sampled_from([0.001, GATHER_SECONDS]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def flush(self):
        self.stream.flush()

    @rule()
    def send(self):
        due = self.stream.due(self.now)
        if due is None or due > self.now:
            return
        batch = self.stream.take(self.now)
        assert batch.last_sequence - self.stream.acknowledged_sequence <= self.credit
        assert len(batch.data) + batch.sample_count * SAMPLE_OVERHEAD + MESSAGE_OVERHEAD <= LARGEST
        for place, sequence in enumerate(range(batch.first_sequence, batch.last_sequence + 1)):
            spec, timed = self.pushed[sequence]
            size = spec.size_bytes
            assert batch.spec == spec
            assert bytes(batch.data[place * size : (place + 1) * size]) == content(sequence, spec)
            assert batch.labels[place] == sequence % 2
            assert list(batch.observe_times_ns[place : place + 1]) == ([1000 + sequence] if timed else [])
        self.forth.append(batch)

    @precondition(lambda self: self.forth)
    @rule(fates=st.lists(st.sampled_from(["accept", "accept", "rejected", "shed"]), min_size=12, max_size=12))
    def serve(self, fates):
        batch = self.forth.pop(0)
        for sequence in range(batch.first_sequence, batch.last_sequence + 1):
            if sequence <= self.settled:
                continue
            assert sequence == self.settled + 1, "out of order, or one is missing"
            self.settled = sequence
            fate = fates[sequence % len(fates)]
            if fate == "accept":
                self.numbers[sequence] = 500 + len(self.numbers)
                self.untold[0].append(AcceptedRun(sequence, self.numbers[sequence], 1))
            else:
                self.untold[1].append(Refusal(sequence, 1, fate, "BECAUSE", ""))

    @precondition(lambda self: self.stream.is_open)
    @rule(credit=st.integers(0, 12))
    def acknowledge(self, credit):
        self.back.append((self.settled, *self.untold, credit))
        self.untold = ([], [])

    @precondition(lambda self: self.back)
    @rule()
    def hear(self):
        settled, accepted, refusals, self.credit = self.back.pop(0)
        assert self.stream.acknowledge(settled, accepted, refusals, self.credit) == refusals

    @precondition(lambda self: self.stream.is_open)
    @rule(lost=st.integers(0, 3))
    def lose_connection(self, lost):
        """What is on the way to the server may still arrive, in order; nothing comes back."""
        while self.forth and lost < len(self.forth):
            self.serve(["accept"] * 12)
        self.forth, self.back = [], []
        self.stream.disconnect()

    @invariant()
    def counts_add_up(self):
        totals = self.stream.totals
        settled = totals.accepted + totals.rejected + totals.shed + totals.unreported
        assert totals.pushed == len(self.pushed) == settled + totals.unacknowledged
        assert self.stream.acknowledged_sequence == settled

    @invariant()
    def numbers_are_the_servers(self):
        for sequence in self.pushed:
            assert self.stream.number_of(sequence) in (None, self.numbers.get(sequence))

    def teardown(self):
        """Whatever has happened: with a connection that holds, everything is settled, once and in order."""
        if not self.stream.is_open:
            self.connect(12)
        self.now += 60
        self.acknowledge(12)
        while self.forth or self.back or self.stream.due(self.now) is not None:
            self.now += 1
            self.send()
            while self.forth:
                self.serve(["accept"] * 12)
            self.acknowledge(12)
            while self.back:
                self.hear()
        assert self.settled == len(self.pushed)
        assert self.stream.totals.unacknowledged == 0


TestProducer = Producer.TestCase
TestProducer.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_samples_wait_for_each_other_but_not_long():
    stream = opened()
    stream.add(samples(1, 1), now=1.0)
    assert stream.due(1.0) == pytest.approx(1.0 + GATHER_SECONDS)
    stream.add(samples(2, GATHER_SAMPLES - 1), now=1.01)
    assert stream.due(1.01) == 1.01
    assert stream.take(1.01).sample_count == GATHER_SAMPLES


def test_nobody_waits_for_samples_that_the_credit_forbids():
    stream = opened(credit=2)
    stream.add(samples(1, 2), now=1.0)
    assert stream.due(1.0) == 1.0
    stream.take(1.0)
    assert stream.room(8) == 0
    assert stream.due(9.0) is None


def test_a_flush_waits_for_nothing():
    stream = opened()
    stream.add(samples(1, 1), now=1.0)
    assert stream.flush() == 1
    assert stream.due(1.0) == 1.0


def test_a_credit_of_zero_stops_the_producer_until_more_is_given():
    stream = opened(credit=0)
    assert stream.room(8) == 0
    stream.acknowledge(0, [], [], credit=3)
    assert stream.room(8) == 3


def test_nothing_is_sent_before_the_server_wants_more():
    stream = opened()
    stream.acknowledge(0, [], [], credit=100, not_before=7.0)
    stream.add(samples(1, GATHER_SAMPLES), now=1.0)
    assert stream.due(1.0) == 7.0


def test_a_sample_larger_than_any_message_is_named_and_not_taken():
    stream = opened(max_message_bytes=300)
    with pytest.raises(InvalidSample, match=r"the daemon takes 300") as caught:
        stream.add(samples(1, 1, TensorSpec("uint8", (400,))), now=0.0)
    assert caught.value.reason == "SAMPLE_TOO_LARGE"
    assert caught.value.metadata == {"max_message_bytes": "300"}
    assert stream.totals.pushed == 0


def test_an_app_may_use_its_buffer_again_at_once():
    stream, buffer = opened(), bytearray(content(1, SPECS[0]))
    stream.add(samples(1, 1)._replace(data=memoryview(buffer)), now=0.0)
    buffer[:] = bytes(len(buffer))
    assert stream.take(1.0).data == content(1, SPECS[0])


def test_memory_for_sending_again_is_bounded_but_one_sample_always_fits():
    stream = opened(credit=10**9, max_message_bytes=1 << 40)
    assert stream.room(1 << 20) == 64
    assert stream.room(1 << 30) == 1


def test_a_server_that_forgot_the_stream_gets_only_what_it_never_acknowledged():
    stream = opened()
    stream.add(samples(1, 10), now=0.0)
    stream.take(1.0)
    stream.acknowledge(4, [AcceptedRun(1, 1, 4)], [], credit=100)
    stream.disconnect()
    stream.opened(0, SPECS[0], LABELS, 1 << 20, 100)
    batch = stream.take(2.0)
    assert (batch.first_sequence, batch.last_sequence) == (5, 10)
    assert bytes(batch.data) == samples(5, 6).data
    assert stream.totals.resent == 6


def test_verdicts_that_were_lost_with_the_connection_are_counted():
    stream = opened()
    stream.add(samples(1, 10), now=0.0)
    stream.take(1.0)
    stream.disconnect()
    stream.opened(7, SPECS[0], LABELS, 1 << 20, 100)
    assert stream.totals.unreported == 7
    assert stream.take(2.0).first_sequence == 8


def test_what_was_under_way_is_sent_again_in_order():
    stream = opened(max_message_bytes=MESSAGE_OVERHEAD + 2 * (8 + SAMPLE_OVERHEAD))
    stream.add(samples(1, 6), now=0.0)
    before = [stream.take(1.0) for _ in range(2)]
    stream.disconnect()
    stream.opened(0, SPECS[0], LABELS, 1 << 20, 100)
    again = stream.take(2.0)
    assert [batch.first_sequence for batch in before] == [1, 3]
    assert (again.first_sequence, bytes(again.data)) == (1, samples(1, 6).data)
    assert stream.totals.resent == 4


def test_what_a_server_settles_without_a_word_is_counted():
    stream = opened()
    stream.add(samples(1, 10), now=0.0)
    stream.take(1.0)
    stream.acknowledge(10, [AcceptedRun(3, 1, 2)], [Refusal(5, 1, "rejected", "BECAUSE", "")], credit=100)
    totals = stream.totals
    assert (totals.accepted, totals.rejected, totals.unreported, totals.unacknowledged) == (2, 1, 7, 0)


def test_the_news_in_a_run_that_was_told_in_part_has_its_own_numbers():
    stream = opened()
    stream.add(samples(1, 4), now=0.0)
    stream.take(1.0)
    stream.acknowledge(2, [AcceptedRun(1, 9, 2)], [], credit=100)
    stream.acknowledge(4, [AcceptedRun(1, 9, 4)], [], credit=100)
    assert [stream.number_of(sequence) for sequence in range(1, 6)] == [9, 10, 11, 12, None]
    assert stream.totals.accepted == 4


def test_samples_that_differ_go_in_messages_of_their_own():
    stream = opened()
    odd = samples(1, 1)._replace(data=b"short")  # same type and shape, but not so many bytes: the server will refuse it
    for each in (samples(1, 1), odd, samples(1, 1, timed=True), samples(1, 1, SPECS[1]), samples(1, 2, SPECS[1])):
        stream.add(each, now=0.0)
    taken = [stream.take(1.0) for _ in range(4)]
    assert [batch.sample_count for batch in taken] == [1, 1, 1, 3]
    assert [len(batch.data) for batch in taken] == [8, 5, 8, 72]


def test_verdicts_told_twice_count_once():
    stream = opened()
    stream.add(samples(1, 4), now=0.0)
    stream.take(1.0)
    refusal = Refusal(3, 2, "shed", "BEHIND", "")
    assert stream.acknowledge(3, [AcceptedRun(1, 9, 2)], [replace(refusal, count=1)], credit=100)
    assert stream.acknowledge(4, [AcceptedRun(1, 9, 2)], [refusal], credit=100) == [
        replace(refusal, first_sequence=4, count=1)
    ]
    assert (stream.totals.accepted, stream.totals.shed) == (2, 2)


@pytest.mark.parametrize(
    "say",
    [
        lambda stream: stream.opened(4, SPECS[0], LABELS, 1 << 20, 100),
        lambda stream: stream.acknowledge(4, [AcceptedRun(1, 1, 4)], [], credit=100),
    ],
)
def test_a_server_cannot_settle_what_was_never_sent(say):
    stream = opened()
    stream.add(samples(1, 4), now=0.0)
    with pytest.raises(TitanError) as caught:
        say(stream)
    assert caught.value.reason == "PROTOCOL_VIOLATION"


def test_neighbouring_runs_are_kept_as_one():
    stream = opened(credit=10**6)
    for sequence in range(1, 5001):
        stream.add(samples(sequence, 1), now=0.0)
        stream.flush()
        stream.take(0.0)
        stream.acknowledge(sequence, [AcceptedRun(sequence, 100 + sequence, 1)], [], credit=10**6)
    assert (stream.number_of(1), stream.number_of(5000), stream.number_of(5001)) == (101, 5100, None)


def test_a_daemon_that_is_away_is_waited_for_longer_and_longer_up_to_half_a_second():
    stream = PushStream("s")
    pauses = []
    for _ in range(8):
        stream.disconnect(TitanError("UNAVAILABLE", "CONNECTION_LOST", "gone"))
        pauses.append(stream.next_pause())
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.05
    assert pauses[-1] == 0.5
    stream.opened(0, SPECS[0], LABELS, 1 << 20, 100)
    stream.disconnect()
    assert stream.next_pause() == pauses[0]


@pytest.mark.parametrize(
    ("code", "reason", "was_open", "passes"),
    [
        ("UNAVAILABLE", "CONNECTION_LOST", True, True),
        ("CANCELLED", "CANCELLED", True, True),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS", True, True),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS", False, False),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", True, False),
        ("INVALID_ARGUMENT", "STREAM_ID_TOO_LONG", False, False),
        ("ABORTED", "TAKEN_OVER", True, False),
    ],
)
def test_only_what_may_pass_is_waited_out(code, reason, was_open, passes):
    stream = opened() if was_open else PushStream("s")
    stream.disconnect(TitanError(code, reason, "no"))
    assert (stream.failure is None) == passes


def test_a_failure_is_told_to_everybody_who_waits_for_what_will_not_come():
    stream = opened()
    stream.add(samples(1, 1), now=0.0)
    stream.fail(TitanError("ABORTED", "TAKEN_OVER", "gone"))
    stream.fail(TitanError("", "CLOSED", "later"))
    for ask in (stream.was_open, lambda: stream.has_room(8), lambda: stream.is_settled(1)):
        with pytest.raises(TitanError, match="gone"):
            ask()
    assert stream.is_settled(0)
    assert stream.is_done
