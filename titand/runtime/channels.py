"""Channels: small JSON messages over a pair of sockets that keep message borders.

Selector and trainer hand over batches and permits through one; the front asks the trainer and the supervisor through
others. End-of-file on a channel means that the other side is gone. A message above the size that a socket holds for
sure, a batch of thousands, goes as a file in memory, whose descriptor is all that is sent.
"""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

from titand.clock import Clock
from titand.errors import TitanError, WorkerDown
from titand.runtime.waiting import readable

_LARGEST = 1 << 16  # bytes of a message that goes through the socket itself, which holds several of these
_BUFFER_BYTES = 1 << 18
_DESCRIPTOR_BYTES = array.array("i").itemsize


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end. Sends never block: messages are few and the kernel holds them."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)

    @staticmethod
    def of_descriptor(descriptor: int) -> Channel:
        """Return the end that was inherited under this number."""
        return Channel(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Return the descriptor, to wait on."""
        return self._end.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            ChannelClosed: nobody will read it: the other side is gone, or has read none of hundreds.
        """
        body = json.dumps(message, separators=(",", ":")).encode()
        try:
            if len(body) <= _LARGEST:
                self._end.send(body, socket.MSG_DONTWAIT)
            else:
                self._send_file(body)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise ChannelClosed from error

    def receive(self, timeout_seconds: float | None = None) -> dict[str, Any] | None:
        """Return the next message, or None when none came in time.

        Raises:
            ChannelClosed: the other side is gone and has left nothing unread.
        """
        if not readable([self._end.fileno()], timeout_seconds):
            return None
        try:
            body = self._receive()
        except ConnectionResetError as error:
            raise ChannelClosed from error
        if not body:
            raise ChannelClosed
        message: dict[str, Any] = json.loads(body)
        return message

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _send_file(self, body: bytes) -> None:
        with open(os.memfd_create("titand-message", os.MFD_CLOEXEC), "wb", buffering=0) as file:
            file.write(body)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))
            self._end.sendmsg([b" "], [rights], socket.MSG_DONTWAIT)

    def _receive(self) -> bytes:
        space, flags = socket.CMSG_LEN(_DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
        body, sent, _, _ = self._end.recvmsg(_LARGEST, space, flags)
        for _, _, descriptor in sent:
            with open(array.array("i", descriptor)[0], "rb") as file:
                file.seek(0)  # the position is the sender's too
                return file.read()
        return body


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Return the two connected ends of a new channel, not inherited by programs started later."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Asker:
    """Asks questions over a channel, one at a time, and waits for the answer.

    A question is {"id", "verb", "until_ns", ...}; its answer {"id", "answer"} or {"id", "error": {reason, message,
    remedy}}. A channel outlives whoever answers, so a question may be read by a successor: after `until_ns`, of the
    monotonic clock that all processes share, nobody waits any more, and nothing is to be done.
    """

    def __init__(self, channel: Channel, whom: str, clock: Clock) -> None:
        self._channel = channel
        self._whom = whom
        self._clock = clock
        self._lock = threading.Lock()
        self._id = clock.monotonic_ns()  # answers to an earlier asker on the same channel are not ours

    def ask(self, verb: str, timeout_seconds: float, **arguments: Any) -> dict[str, Any]:
        """Return the answer.

        Raises:
            WorkerDown: no answer in time, or nobody is there.
            TitanError: what the other side says is wrong, with its reason.
        """
        deadline = self._clock.monotonic_ns() + int(timeout_seconds * 1e9)
        if self._lock.acquire(timeout=timeout_seconds):
            try:
                self._id += 1
                self._channel.send({"id": self._id, "verb": verb, "until_ns": deadline, **arguments})
                while (left := deadline - self._clock.monotonic_ns()) > 0:
                    message = self._channel.receive(left / 1e9)
                    if message is not None and message.get("id") == self._id:
                        return _answer_of(message)
            except ChannelClosed:
                pass
            finally:
                self._lock.release()
        raise WorkerDown(
            "NO_ANSWER",
            f"The {self._whom} did not answer '{verb}' within {timeout_seconds:g} s.",
            "It may be starting or busy; try again, and see titanctl status.",
        )


def is_overdue(question: Mapping[str, Any], clock: Clock) -> bool:
    """Tell whether nobody waits for the answer any more."""
    until_ns = question.get("until_ns")
    return until_ns is not None and clock.monotonic_ns() >= until_ns


def _answer_of(message: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in message:
        raise rebuilt_error(message["error"])
    answer: dict[str, Any] = message["answer"]
    return answer


def plain_error(error: TitanError) -> dict[str, Any]:
    """Return an error as plain data, for an answer."""
    return {
        "kind": type(error).__name__,
        "reason": error.reason,
        "message": error.message,
        "remedy": error.remedy,
        "metadata": error.metadata,
    }


def rebuilt_error(plain: Mapping[str, Any]) -> TitanError:
    """Return the error that `plain_error` described."""
    kinds = {kind.__name__: kind for kind in TitanError.__subclasses__()}
    return kinds.get(plain["kind"], WorkerDown)(
        plain["reason"], plain["message"], plain["remedy"], plain.get("metadata")
    )
