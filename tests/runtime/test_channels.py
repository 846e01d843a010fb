"""Channels over real sockets: borders, ends, answers that come late, answers that never come."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand import errors
from titand.clock import SystemClock
from titand.errors import ModelError, TitanError, WorkerDown
from titand.runtime.channels import (
    Asker,
    Channel,
    ChannelClosed,
    channel_pair,
    is_overdue,
    plain_error,
    rebuilt_error,
)

SECONDS = 30.0
FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TitanError)]


@contextmanager
def two_ends():
    one, other = (Channel(end) for end in channel_pair())
    try:
        yield one, other
    finally:
        one.close()
        other.close()


class ImpatientClock:
    """A clock on which a second passes at each look."""

    now = 0

    def monotonic_ns(self) -> int:
        self.now += 1_000_000_000
        return self.now

    def wall_ns(self) -> int:
        return self.now


def answering(channel: Channel, answer) -> threading.Thread:
    """Answer questions in a thread until the asker is gone."""

    def run() -> None:
        try:
            while (question := channel.receive(SECONDS)) is not None:
                for message in answer(question):
                    channel.send(message)
        except ChannelClosed:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats(allow_nan=False)))))
def test_messages_arrive_whole_and_in_order(messages):
    with two_ends() as (one, other):
        for message in messages:
            one.send(message)
        assert [other.receive(0) for _ in messages] == messages
        assert other.receive(0) is None


@pytest.mark.parametrize("size", [(1 << 16) - 12, (1 << 16) - 11, 300_000, 20_000_000])
def test_a_message_of_any_size_arrives_whole_between_others_and_leaves_no_descriptor(size):
    before = len(os.listdir("/proc/self/fd"))
    with two_ends() as (one, other):
        messages = [{"before": 1}, {"large": "x" * size}, {"after": 2}]
        for message in messages:
            one.send(message)
        assert [other.receive(0) for _ in messages] == messages
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_was_sent_before_the_end_is_still_read():
    with two_ends() as (one, other):
        one.send({"last": "word"})
        one.close()
        assert other.receive(SECONDS) == {"last": "word"}
        with pytest.raises(ChannelClosed):
            other.receive(SECONDS)


def test_sending_to_nobody_is_an_error_not_a_signal():
    with two_ends() as (one, other):
        other.close()
        with pytest.raises(ChannelClosed):
            one.send({})


def test_sending_to_one_who_never_reads_does_not_block():
    def fill(end: Channel) -> None:
        for number in range(100_000):
            end.send({"number": number})

    with two_ends() as (one, _), pytest.raises(ChannelClosed):
        fill(one)


def test_an_end_with_unread_messages_that_closes_is_seen_as_gone():
    with two_ends() as (one, other):
        one.send({"never": "read"})
        other.close()
        with pytest.raises(ChannelClosed):
            one.receive(SECONDS)


def test_an_answer_comes_back_with_its_question():
    with two_ends() as (front, trainer):
        thread = answering(trainer, lambda q: [{"id": q["id"], "answer": {"verb": q["verb"], "note": q["note"]}}])
        asker = Asker(front, "trainer", SystemClock())
        for note in ("a", "b"):
            assert asker.ask("snapshot", SECONDS, note=note) == {"verb": "snapshot", "note": note}
        front.close()
        thread.join()


def test_answers_to_an_earlier_asker_on_the_same_channel_are_not_taken():
    with two_ends() as (front, trainer):
        with pytest.raises(WorkerDown):
            Asker(front, "trainer", SystemClock()).ask("snapshot", 0.0)  # a front that died while it waited
        late = trainer.receive(0)
        trainer.send({"id": late["id"], "answer": {"for": "the dead"}})
        thread = answering(trainer, lambda q: [{"id": q["id"], "answer": {"for": "the living"}}])
        assert Asker(front, "trainer", SystemClock()).ask("snapshot", SECONDS) == {"for": "the living"}
        front.close()
        thread.join()


def test_a_question_says_until_when_somebody_waits():
    with two_ends() as (front, trainer):
        clock = SystemClock()
        before = clock.monotonic_ns()
        for seconds in (0.0, 1e-3):
            with pytest.raises(WorkerDown):
                Asker(front, "trainer", clock).ask("snapshot", seconds)
            left_behind = trainer.receive(0)  # as the next trainer finds it
            assert before <= left_behind["until_ns"] <= clock.monotonic_ns()
            assert is_overdue(left_behind, clock)
        assert not is_overdue({"until_ns": clock.monotonic_ns() + 10**12}, clock)
        assert not is_overdue({"event": "ready"}, clock)


def test_each_of_many_threads_gets_its_own_answer():
    with two_ends() as (front, trainer):
        thread = answering(trainer, lambda q: [{"id": q["id"], "answer": {"n": q["n"]}}])
        asker, heard = Asker(front, "trainer", SystemClock()), {}
        askers = [
            threading.Thread(target=lambda n=n: heard.update({n: asker.ask("count", SECONDS, n=n)["n"]}))
            for n in range(20)
        ]
        for each in askers:
            each.start()
        for each in askers:
            each.join()
        assert heard == {n: n for n in range(20)}
        front.close()
        thread.join()


def test_no_answer_in_time_is_said_with_whom_and_what():
    with two_ends() as (front, _), pytest.raises(WorkerDown, match="trainer did not answer 'snapshot'") as caught:
        Asker(front, "trainer", ImpatientClock()).ask("snapshot", 1.0)
    assert caught.value.reason == "NO_ANSWER"


def test_nobody_there_is_said_like_no_answer():
    with two_ends() as (front, trainer):
        trainer.close()
        with pytest.raises(WorkerDown) as caught:
            Asker(front, "supervisor", SystemClock()).ask("export", SECONDS)
    assert caught.value.reason == "NO_ANSWER"


def test_asking_one_who_never_reads_fails_each_time_and_never_hangs():
    with two_ends() as (front, _):
        asker = Asker(front, "trainer", ImpatientClock())
        for _ in range(2_000):
            with pytest.raises(WorkerDown):
                asker.ask("wake", 0.0)


def test_an_error_crosses_the_channel_as_itself():
    error = ModelError("EXPORT_FAILED", "It does not fit.", "Take another.", {"key": "value"})
    with two_ends() as (front, trainer):
        thread = answering(trainer, lambda q: [{"id": q["id"], "error": plain_error(error)}])
        with pytest.raises(ModelError) as caught:
            Asker(front, "trainer", SystemClock()).ask("snapshot", SECONDS)
        front.close()
        thread.join()
    assert (str(caught.value), caught.value.reason, caught.value.metadata) == (str(error), error.reason, error.metadata)


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if kind is not TitanError])
def test_every_kind_of_error_survives_the_way(kind):
    rebuilt = rebuilt_error(plain_error(kind("REASON", "What.", "Do.", {"a": "b"})))
    assert type(rebuilt) is kind
    assert plain_error(rebuilt) == plain_error(kind("REASON", "What.", "Do.", {"a": "b"}))


def test_an_error_of_an_unknown_kind_keeps_its_words():
    error = rebuilt_error({"kind": "OfALaterVersion", "reason": "NEW", "message": "What.", "remedy": "Do."})
    assert isinstance(error, TitanError)
    assert (error.reason, str(error)) == ("NEW", "What. Do.")
