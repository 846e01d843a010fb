"""Exports under way: a process each, made by the supervisor, with a time limit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from titand.clock import Clock
from titand.errors import InvalidRequest, TitanError, WorkerDown
from titand.runtime.channels import plain_error
from titand.runtime.log import Log
from titand.runtime.restarts import describe_exit


@dataclass(frozen=True)
class _Export:
    process: subprocess.Popen[bytes]
    question: int
    until_ns: int

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Exports:
    """Has exports made, and answers who asked for them.

    Args:
        command: that makes an export, given a snapshot's name and a format; it prints the answer as JSON.
        limit_seconds: after which one is ended; less than the front waits, so that it can say why there is none.
        clock: time.
        log: lines for people.
    """

    def __init__(self, command: Callable[[str, str], list[str]], limit_seconds: float, clock: Clock, log: Log) -> None:
        self._command = command
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._log = log
        self._under_way: list[_Export] = []

    def begin(self, question: Mapping[str, Any]) -> None:
        """Begin what a question asks for.

        Raises:
            InvalidRequest: UNKNOWN_VERB, it asks for something else.
        """
        if question.get("verb") != "export":
            raise InvalidRequest("UNKNOWN_VERB", f"The supervisor does not know '{question.get('verb')}'.")
        command = self._command(question["name"], question["format"])
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        until_ns = self._clock.monotonic_ns() + int(self._limit_seconds * 1e9)
        self._under_way.append(_Export(process, question["id"], until_ns))

    def finished(self) -> list[dict[str, Any]]:
        """Return the answers of those that have ended since, or had to be ended."""
        answers, still = [], []
        for export in self._under_way:
            if export.process.poll() is not None:
                answers.append({"id": export.question, **_answer_of(export.process)})
            elif self._clock.monotonic_ns() >= export.until_ns:
                export.end()
                self._log.error("an export took too long, killed", seconds=self._limit_seconds)
                answers.append({"id": export.question, "error": plain_error(self._too_slow())})
            else:
                still.append(export)
        self._under_way = still
        return answers

    def end(self) -> None:
        """End them all, unanswered."""
        for export in self._under_way:
            export.end()
        self._under_way = []

    def _too_slow(self) -> TitanError:
        return WorkerDown(
            "EXPORT_TOO_SLOW",
            f"The export was not ready after {self._limit_seconds:g} s and was ended.",
            "Export safetensors instead, and make the program on a faster machine.",
        )


def _answer_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return what the exporter printed, or that it died."""
    with process:
        output = process.stdout.read() if process.stdout is not None else b""
    try:
        answer: dict[str, Any] = json.loads(output)
        return answer
    except ValueError:
        error = WorkerDown(
            "EXPORT_FAILED", f"The exporter ended: {describe_exit(process.returncode)}.", "See the daemon's log."
        )
        return {"error": plain_error(error)}
