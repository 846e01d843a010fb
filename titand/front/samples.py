"""SampleService: takes samples in and tells what became of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping

import grpc

from titan.v1 import sample_service_pb2 as samples_pb
from titand.clock import Clock
from titand.config import Config
from titand.errors import InvalidRequest, NotFound
from titand.front.admission import Admission
from titand.front.convert import InputCheck
from titand.front.keeping import Keeping, still_replaying
from titand.front.labelling import Labelling
from titand.front.push_stream import PushStream
from titand.front.streams import Streams
from titand.front.suspects import suspect_message
from titand.runtime.arena import (
    CANDIDATE,
    EVICTED,
    EXPIRED,
    FILLED,
    FILTERED,
    HELD_OUT,
    INVALID,
    PENDING_LABEL,
    RELEASED,
    SELECTED,
    TRAINED,
)
from titand.runtime.channels import Asker
from titand.runtime.ledger import Ledger
from titand.telemetry.stages import Stages

CREDIT_BYTES = 2 << 20  # of samples under way per stream; enough to keep both sides busy
CREDIT_SAMPLES = 64  # at least, however large they are: two messages of the usual size
SUSPECTS_SECONDS = 5.0  # a selector answers between two steps
FLUSHES = 4  # acknowledgements per credit, so that a fast producer never runs dry

_NAME = re.compile(r"samples/([1-9][0-9]{0,17})")
_FATES: Mapping[int, tuple[samples_pb.Sample.Fate, str]] = {
    PENDING_LABEL: (samples_pb.Sample.FATE_PENDING_LABEL, "It waits for its label; until that comes nothing is done."),
    FILLED: (samples_pb.Sample.FATE_WAITING, "It waits for the coarse filter."),
    CANDIDATE: (
        samples_pb.Sample.FATE_CANDIDATE,
        "It passed the coarse filter and may be selected for the next batch.",
    ),
    SELECTED: (samples_pb.Sample.FATE_SELECTED, "It is in a batch that is being trained on, or is next."),
    HELD_OUT: (samples_pb.Sample.FATE_HELD_OUT, "It is kept for evaluation and never trained on."),
    FILTERED: (samples_pb.Sample.FATE_FILTERED, "The coarse filter preferred other samples of its class and window."),
    EVICTED: (samples_pb.Sample.FATE_EVICTED, "It was a candidate, and the batch was drawn without it."),
    TRAINED: (samples_pb.Sample.FATE_TRAINED, "The model was trained on it."),
    RELEASED: (samples_pb.Sample.FATE_RELEASED, "It was kept for evaluation and made room for a newer one."),
    INVALID: (samples_pb.Sample.FATE_INVALID, "The model's scores of it are not finite, so it was not used."),
    EXPIRED: (
        samples_pb.Sample.FATE_EXPIRED,
        "Its label did not come in time, or newer samples without one took over.",
    ),
}


class SampleService:
    """See protos/titan/v1/sample_service.proto.

    Args:
        ledger: admits and counts.
        streams: the open ones.
        selector: corrects the labels of the samples that it holds, and knows which look wrong.
        keeping: keeps what is acknowledged.
        config: asked at each use, for some of it may change.
        clock: measures.
        stages: takes the times.
    """

    def __init__(
        self,
        ledger: Ledger,
        streams: Streams,
        selector: Asker,
        keeping: Keeping,
        config: Callable[[], Config],
        clock: Clock,
        stages: Stages,
    ) -> None:
        self._ledger = ledger
        self._streams = streams
        self._selector = selector
        self._keeping = keeping
        self._config = config
        self._clock = clock
        self._stages = stages
        model = config().model_spec
        self._labels = model.labels
        self._check = InputCheck(model.input, model.class_count)
        self._labelling = Labelling(ledger, selector, model.class_count, clock)
        self._most_credit = most_credit(model.input.size_bytes)

    def PushSamples(
        self, request_iterator: Iterator[samples_pb.PushSamplesRequest], context: grpc.ServicerContext
    ) -> Iterator[samples_pb.PushSamplesResponse]:
        """Take samples in for as long as the producer lives."""
        with self._streams.push_call():
            first = next(request_iterator, None)
            if first is None:
                return
            if first.WhichOneof("part") != "open":
                raise InvalidRequest("NOT_OPENED", "The first message of a stream opens it.", "Send `open` first.")
            self._keeping.wait_for_replay(context)
            stream = self._streams.open(first.open.stream_id, first.open.producer)
            try:
                yield self._opened(stream)
                # Reading and writing at once needs two threads; gRPC's own one writes.
                reader = threading.Thread(target=self._read, args=(request_iterator, stream), name="push", daemon=True)
                reader.start()
                for acknowledgement in stream.acknowledgements():
                    self._keeping.flush()
                    acknowledgement.credit = self._credit()
                    yield samples_pb.PushSamplesResponse(acknowledgement=acknowledgement)
            finally:
                self._streams.close(stream)

    def GetSample(self, request: samples_pb.GetSampleRequest, context: grpc.ServicerContext) -> samples_pb.Sample:
        """Return one sample's fate."""
        match = _NAME.fullmatch(request.name)
        if match is None:
            raise InvalidRequest(
                "NAME_INVALID",
                f"{request.name[:80]!r} does not name a sample.",
                'Samples are named "samples/{number}".',
            )
        number = int(match[1])
        is_replayed = self._keeping.is_replayed
        fate = self._ledger.fate(number)
        if fate is None and not is_replayed:
            raise still_replaying()
        if fate is None and number > self._ledger.newest_number():
            raise NotFound(
                "SAMPLE_UNKNOWN",
                f"No sample was given the number {number} yet.",
                "Acknowledgements say which numbers the accepted samples were given.",
            )
        if fate is None:
            raise NotFound(
                "SAMPLE_FORGOTTEN", f"What became of sample {number} is too long ago.", "Ask sooner; the totals remain."
            )
        kind, explanation = _FATES[fate.state]
        sample = samples_pb.Sample(name=request.name, fate=kind, explanation=explanation, label=fate.label)
        if fate.accepted_ns is not None:
            sample.accept_time.FromNanoseconds(fate.accepted_ns)
        return sample

    def LabelSamples(
        self, request: samples_pb.LabelSamplesRequest, context: grpc.ServicerContext
    ) -> samples_pb.LabelSamplesResponse:
        """Join labels to samples that wait for them, and correct those of samples that can still be reached."""
        if not self._keeping.is_replayed:  # waiting here would take a thread from calls that can be answered
            raise still_replaying()
        outcomes = self._labelling.label(request.numbers, request.labels)
        self._keeping.flush()
        return samples_pb.LabelSamplesResponse(outcomes=outcomes)

    def ListSuspectSamples(
        self, request: samples_pb.ListSuspectSamplesRequest, context: grpc.ServicerContext
    ) -> samples_pb.ListSuspectSamplesResponse:
        """Ask the selector whose labels look wrong."""
        if request.page_size < 0:
            raise InvalidRequest(
                "PAGE_SIZE_INVALID", f"{request.page_size} samples cannot be listed.", "Ask for 1 or more; 0 lists all."
            )
        found = self._selector.ask("suspects", SUSPECTS_SECONDS)["suspects"]
        return samples_pb.ListSuspectSamplesResponse(
            suspects=[suspect_message(each, self._labels) for each in found[: request.page_size or None]]
        )

    def _opened(self, stream: PushStream) -> samples_pb.PushSamplesResponse:
        self._keeping.flush()  # where it stands is an acknowledgement too
        return samples_pb.PushSamplesResponse(
            opened=samples_pb.StreamOpened(
                acknowledged_sequence=stream.sequence,
                input_spec=self._check.message,
                labels=self._labels,
                max_message_bytes=self._config().ingest.max_message_bytes,
                credit=self._credit(),
            )
        )

    def _credit(self) -> int:
        return max(CREDIT_SAMPLES, self._ledger.free_count(self._most_credit))

    def _read(self, requests: Iterator[samples_pb.PushSamplesRequest], stream: PushStream) -> None:
        admission = Admission(
            self._ledger,
            stream,
            self._check,
            lambda: self._config().ingest.patience_seconds,
            self._clock,
            self._stages,
        )
        try:
            for request in requests:
                if request.WhichOneof("part") != "batch":
                    raise InvalidRequest("BATCH_EXPECTED", "An open stream takes batches only.", "Send `batch`.")
                admission.settle(request.batch)
            stream.end()
        except grpc.RpcError:  # the client is gone; where the stream stands is kept for its return
            stream.end()
        except Exception as error:  # the writing thread raises it, see ErrorAnswers
            stream.end(error)


def most_credit(sample_bytes: int) -> int:
    """Return how many samples may be under way unacknowledged on a stream, at most."""
    return max(CREDIT_SAMPLES, CREDIT_BYTES // sample_bytes)
