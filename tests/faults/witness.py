"""A producer that speaks the protocol by hand, and knows of every sample what it was told.

What it sends is a pure function of the sequence, and so is what has to become of it: every `BAD_EVERY`-th label is no
class. Whatever dies meanwhile, each sequence is acknowledged once and in order, each number is given once, and nothing
that was acknowledged is forgotten.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from tests.e2e.daemon import SECONDS, Daemon
from titan.records import Training
from titan.v1.sample_service_pb2 import (
    Acknowledgement,
    GetSampleRequest,
    PushSamplesRequest,
    SampleBatch,
    StreamOpen,
)
from titan.v1.sample_service_pb2_grpc import SampleServiceStub
from titan.v1.tensor_pb2 import TensorSpec
from titand.demo.data import digits

T = TypeVar("T")

LOOK_SECONDS = 0.02  # between two looks: whoever asks without a break is load of another kind
BAD_EVERY = 50  # its label is no class
BATCH = 32
SPEC = TensorSpec(data_type=TensorSpec.DATA_TYPE_UINT8, shape=(1, 8, 8))
PASSES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)  # whoever answered is gone
RECONNECTS = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


def label_of(sequence: int) -> int:
    """Return the label of a sample."""
    samples = digits().train
    return 99 if sequence % BAD_EVERY == 0 else int(samples.label[sequence % len(samples)])


def batch_from(sequence: int, count: int) -> SampleBatch:
    """Return the samples from a sequence on."""
    samples = digits().train
    sequences = range(sequence, sequence + count)
    data = b"".join(samples.input[each % len(samples)].tobytes() for each in sequences)
    return SampleBatch(first_sequence=sequence, spec=SPEC, labels=map(label_of, sequences), data=data)


class Witness:
    """Pushes from a thread of its own, over as many connections as it takes.

    Attributes:
        pushed: the last sequence that was ever sent.
        acknowledged: the last one that is settled, as far as was heard.
        accepted, rejected: how many of them, by what was heard.
        unheard: how many were settled just before a connection broke.
        connections: how many there were.
        longest_wait: seconds between two acknowledgements.
    """

    def __init__(self, daemon: Daemon, name: str = "witness") -> None:
        self.pushed = self.acknowledged = self.accepted = self.rejected = self.unheard = self.connections = 0
        self.longest_wait = 0.0
        self.runs: list[tuple[int, int, int]] = []  # first sequence, first number, count
        self._name = name
        self._limit = 2**62
        self._last_number = 0
        self._failure: BaseException | None = None
        self._is_done = False
        self._call = None
        self._changed = threading.Condition()
        self._channel = grpc.insecure_channel(daemon.address, RECONNECTS)
        self._stub = SampleServiceStub(self._channel)
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # ---- the test's side

    def check(self) -> None:
        """Raise what went wrong so far."""
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Send nothing new, and wait until everything is settled."""
        with self._changed:
            self._limit = self.pushed
            self._changed.notify_all()
            settled = self._changed.wait_for(lambda: self._failure or self.acknowledged >= self.pushed, SECONDS)
        self.check()
        assert settled, f"{self.pushed - self.acknowledged} samples of {self._name} are not settled"
        self.close()

    def close(self) -> None:
        """End the thread, whatever is not settled."""
        with self._changed:
            self._is_done = True
            self._changed.notify_all()
            if self._call is not None:
                self._call.cancel()
        self._thread.join(SECONDS)
        self._channel.close()

    def check_newest(self, daemon: Daemon, count: int) -> None:
        """Ask what became of the newest accepted samples: none is unknown, none has another's label."""
        with grpc.insecure_channel(daemon.address) as channel:
            stub = SampleServiceStub(channel)
            for first_sequence, first_number, length in self.runs[-20:]:
                for place in range(max(0, length - count // 20), length):
                    request = GetSampleRequest(name=f"samples/{first_number + place}")
                    sample = stub.GetSample(request, timeout=SECONDS)
                    if sample.HasField("label"):
                        assert sample.label == label_of(first_sequence + place)

    # ---- the connection's side

    def _run(self) -> None:
        try:
            while not self._is_done:
                self.connections += 1
                with self._changed:
                    self._call = call = self._stub.PushSamples(self._messages(self.connections), wait_for_ready=True)
                try:
                    self._listen(call)
                except grpc.RpcError as error:
                    if error.code() not in PASSES:
                        raise
                finally:
                    call.cancel()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _listen(self, call: Iterator) -> None:
        opened = next(call).opened
        with self._changed:
            position = opened.acknowledged_sequence
            assert self.acknowledged <= position <= self.pushed, "what was acknowledged is forgotten, or invented"
            self.unheard += position - self.acknowledged
            self.acknowledged = self._sent = position
            self._credit, self._is_open = opened.credit, self.connections
            self._changed.notify_all()
        for response in call:
            with self._changed:
                self._note(response.acknowledgement)
                self._changed.notify_all()

    def _note(self, said: Acknowledgement) -> None:
        now = time.monotonic()
        self.longest_wait, self._heard = max(self.longest_wait, now - self._heard), now
        verdicts = [(run.first_sequence, run.count, run.first_number) for run in said.accepted]
        verdicts += [(refusal.first_sequence, refusal.count, None) for refusal in said.refusals]
        for first, count, number in sorted(verdicts):
            assert first == self.acknowledged + 1, f"{first} follows {self.acknowledged}"
            for sequence in range(first, first + count):
                assert (number is None) == (sequence % BAD_EVERY == 0), f"wrong verdict of {sequence}"
            if number is None:
                self.rejected += count
            else:
                assert number > self._last_number, "a number was given twice"
                self._last_number = number + count - 1
                self.accepted += count
                self.runs.append((first, number, count))
            self.acknowledged += count
        assert said.acknowledged_sequence == self.acknowledged <= self.pushed
        self._credit = said.credit

    def _messages(self, connection: int) -> Iterator[PushSamplesRequest]:
        self._is_open = 0
        yield PushSamplesRequest(open=StreamOpen(stream_id=self._name, producer=self._name))
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_over(connection) or self._next_count() > 0)
                if self._is_over(connection):
                    return
                first, count = self._sent + 1, self._next_count()
                self._sent += count
                self.pushed = max(self.pushed, self._sent)
            yield PushSamplesRequest(batch=batch_from(first, count))

    def _is_over(self, connection: int) -> bool:
        return self._is_done or self._failure is not None or self.connections != connection

    def _next_count(self) -> int:
        if self._is_open != self.connections:
            return 0
        return min(BATCH, self._credit - (self._sent - self.acknowledged), self._limit - self._sent)


class Books:
    """What any look at a daemon has to show while witnesses push: asked often, it must hold each time.

    Args:
        daemon: nobody else pushes into it.
        witnesses: all who do.
    """

    def __init__(self, daemon: Daemon, witnesses: list[Witness]) -> None:
        self.daemon, self.witnesses = daemon, witnesses
        self.looks = 0
        self._pushed = 0

    def look(self) -> Training | None:
        """Check the ledger as it is now, and return what the daemon says; None when nobody answers."""
        for witness in self.witnesses:
            witness.check()
        accepted = sum(witness.accepted for witness in self.witnesses)
        rejected = sum(witness.rejected for witness in self.witnesses)
        training = self.daemon.training()
        if training is None:
            return None
        ledger = training.sample_ledger
        assert ledger is not None
        assert ledger.is_balanced, ledger
        assert (ledger.lost_count, ledger.shed_count) == (0, 0)
        assert ledger.rejected_count >= rejected
        assert ledger.pushed_count - ledger.rejected_count >= accepted, "an acknowledged sample is not in the ledger"
        assert ledger.pushed_count >= self._pushed
        self._pushed = ledger.pushed_count
        self.looks += 1
        return training

    def until(self, condition: Callable[[], T], seconds: float = SECONDS) -> T:
        """Look again and again until something is so, and return it. Fails at once when the daemon ends."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            self.look()
            assert not self.daemon.ends_within(LOOK_SECONDS), f"the daemon ended:\n{self._log()}"
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s:\n{self._log()}"
        return found

    def go_on(self, rounds: int = 5) -> None:
        """Wait until so many more rounds are through."""
        training = self.until(self.look)
        self.until(lambda: (now := self.look()) and now.round_count >= training.round_count + rounds)

    def pass_time(self, seconds: float) -> None:
        """Look for so long."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def close(self) -> None:
        """Wait until everything is settled, and check the sums to the last sample."""
        for witness in self.witnesses:
            witness.finish()
        ledger = self.daemon.quiet().sample_ledger
        assert ledger is not None
        assert ledger.is_balanced
        assert ledger.pushed_count == sum(witness.pushed for witness in self.witnesses)
        assert ledger.rejected_count == sum(witness.pushed // BAD_EVERY for witness in self.witnesses)
        assert (ledger.lost_count, ledger.shed_count) == (0, 0)
        numbers = sorted((number, count) for witness in self.witnesses for _, number, count in witness.runs)
        assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(numbers)), "a number was given twice"
        for witness in self.witnesses:
            witness.check_newest(self.daemon, 200)

    def _log(self) -> str:
        return self.daemon.log()[-5000:]


@contextmanager
def witnessed(daemon: Daemon, count: int = 1) -> Iterator[Books]:
    """Have so many producers push into a new daemon, and check the books at the end."""
    witnesses = [Witness(daemon, f"witness-{place}") for place in range(count)]
    books = Books(daemon, witnesses)
    try:
        books.go_on()
        yield books
        books.close()
    finally:
        for witness in witnesses:
            witness.close()
