"""Patience and acknowledgements of one stream, without a server; time is what the test says."""

import threading

import pytest

from tests.front.house import batch_of
from titan.v1.sample_service_pb2 import Refusal
from titand.clock import SystemClock
from titand.errors import TakenOver
from titand.front.admission import Admission
from titand.front.convert import InputCheck
from titand.front.streams import Streams
from titand.runtime.arena import TRAINED
from titand.runtime.ledger import Ledger
from titand.telemetry.stages import Stages

PATIENCE = 5.0


class FastClock(SystemClock):
    """A second passes whenever somebody looks."""

    def __init__(self):
        self.seconds = 0

    def monotonic_ns(self):
        self.seconds += 1
        return self.seconds * 10**9


@pytest.fixture
def here(house):
    made = house(slot_count=4)
    made.clock = FastClock()
    made.ledger = Ledger(made.arena, made.filled, made.clock)
    made.streams = Streams(made.ledger, most_pushes=2, flush_samples=5, clock=made.clock)
    made.stream = made.streams.open("camera", "test")
    check = InputCheck(made.config.model_spec.input, made.config.model_spec.class_count)
    made.admission = Admission(made.ledger, made.stream, check, lambda: PATIENCE, made.clock, Stages(made.clock))
    return made


def settle(here, first_sequence, count):
    """Settle a batch; return how many of it were shed, and how many seconds that took."""
    before = here.clock.seconds, here.ledger.counts().shed
    here.admission.settle(batch_of(first_sequence, [0] * count))
    return here.ledger.counts().shed - before[1], here.clock.seconds - before[0]


def test_patience_counts_from_the_moment_at_which_the_arena_was_full(here):
    assert settle(here, 1, 4)[0] == 0
    shed, seconds = settle(here, 5, 2)
    assert shed == 2
    assert seconds >= PATIENCE
    # Still full: the next is shed at once, so that the stream does not fall behind by its patience at every batch.
    shed, seconds = settle(here, 7, 2)
    assert shed == 2
    assert seconds < PATIENCE
    here.take(TRAINED)
    assert settle(here, 9, 4)[0] == 0
    shed, seconds = settle(here, 13, 1)  # and patience is whole again
    assert (shed, seconds >= PATIENCE) == (1, True)


def test_what_fits_is_admitted_before_the_rest_is_shed(here):
    assert settle(here, 1, 6)[0] == 2
    assert here.ledger.newest_number() == 4


def test_a_stream_that_has_ended_settles_nothing(here):
    here.stream.end(TakenOver("STREAM_TAKEN_OVER", "Gone."))
    before = here.ledger.counts()
    for batch in (batch_of(1, [0]), batch_of(1, [9])):
        with pytest.raises(TakenOver):
            here.admission.settle(batch)
    assert here.ledger.counts() == before


def acknowledged(stream):
    """Drain a stream that has ended."""
    return [(each.acknowledged_sequence, len(each.accepted), len(each.refusals)) for each in stream.acknowledgements()]


def test_neighbours_share_a_run_and_the_same_flaw_shares_a_refusal(here):
    stream = here.stream
    with stream.changed:
        stream.accept(2, 7)
        stream.accept(1, 9)  # goes on
        stream.accept(1, 20)  # another number
        stream.refuse(1, Refusal.KIND_REJECTED, "A", "a")
        stream.refuse(2, Refusal.KIND_REJECTED, "A", "a")  # goes on
        stream.refuse(1, Refusal.KIND_REJECTED, "A", "b")  # other words
        stream.accept(1, 21)  # not its neighbour
    stream.end()
    (answer,) = stream.acknowledgements()
    runs = [(run.first_sequence, run.first_number, run.count) for run in answer.accepted]
    assert runs == [(1, 7, 3), (4, 20, 1), (9, 21, 1)]
    assert [(each.first_sequence, each.count, each.message) for each in answer.refusals] == [(5, 3, "a"), (8, 1, "b")]


def test_everything_settled_is_acknowledged_before_the_reason_of_the_end(here):
    stream = here.stream
    with stream.changed:
        stream.accept(1, 1)
    stream.end(TakenOver("STREAM_TAKEN_OVER", "Gone."))
    stream.end()  # too late to end well
    answers = stream.acknowledgements()
    assert next(answers).acknowledged_sequence == 1
    with pytest.raises(TakenOver):
        next(answers)


def test_the_first_acknowledgement_after_a_pause_goes_at_once_and_the_next_gather(here):
    stream, heard = here.stream, []
    writer = threading.Thread(target=lambda: heard.extend(acknowledged(stream)))
    writer.start()
    for number in range(1, 1001):
        with stream.changed:
            stream.accept(1, number)
    stream.end()
    writer.join()
    sequences = [sequence for sequence, _, _ in heard]
    assert sequences[-1] == 1000
    assert sequences == sorted(set(sequences))
    assert len(sequences) <= 1000 / 5 + 2


def test_a_stream_that_ended_well_is_closed_and_forgotten_but_not_where_it_stood(here):
    settle(here, 1, 3)
    here.streams.close(here.stream)
    assert here.streams.to_plain() == []
    assert here.streams.open("camera", "").sequence == 3
