"""What a parent lives through with real children: `python -m tests.runtime.parents NAME` runs one scenario.

In a process of its own, because whoever forks must have one thread, and a test runner has more.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.clocks import HandClock
from titand.runtime.channels import Channel, ChannelClosed, channel_pair
from titand.runtime.children import Child, fork, is_stuck, kill
from titand.runtime.descriptors import Descriptors, create_text, read_text
from titand.runtime.waiting import readable

SECONDS = 60.0


def obey(descriptors: Descriptors) -> int:
    """Be the child: say what was given, then do as told until the parent is gone."""
    parent = Channel.of_descriptor(descriptors.supervisor)
    listed = os.listdir("/proc/self/fd")  # with the one that lists the folder
    parent.send(
        {
            "pid": os.getpid(),
            "config": read_text(descriptors.config),
            "word": os.environ.get("WORD"),
            "comm": Path("/proc/self/comm").read_text().strip(),
            "open": sorted(int(name) for name in listed if os.path.lexists(f"/proc/self/fd/{name}")),
            "allowed": sorted({0, 1, 2, *descriptors.all()}),
            "terminates": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        }
    )
    try:
        while (order := parent.receive()) is not None:
            if "exit" in order:
                return order["exit"]
            if "raise" in order:
                raise ZeroDivisionError
            if "deaf" in order:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                parent.send({"deaf": True})
            if "spin" in order:
                parent.send({"spinning": True})
                while True:
                    pass
    except ChannelClosed:
        pass
    return 0


class Family:
    """A child with its clock."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.secret = create_text("not for the child")
        config = create_text("what it inherits")
        self.child = Child(
            "worker", obey, lambda end: Descriptors(config=config, supervisor=end), {"WORD": "hello"}, self.clock
        )

    def ended(self) -> int:
        """Wait until the child ends by itself, and return what its parent is told."""
        handle = os.pidfd_open(self.child.pid)
        assert readable([handle], SECONDS), "it did not end"
        os.close(handle)
        code = self.child.poll()
        assert code is not None
        return code

    def hear(self) -> dict:
        """Return the child's next message."""
        message = self.child.channel.receive(SECONDS)
        assert message is not None
        return message


def it_starts_once_with_what_it_may_have_and_nothing_else(family: Family) -> None:
    child = family.child
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    assert child.start_if_due()
    assert not child.start_if_due()
    said = family.hear()
    assert (said["pid"], said["config"], said["word"]) == (child.pid, "what it inherits", "hello")
    assert said["comm"] == "titand-worker"
    assert said["open"] == said["allowed"]
    assert family.secret not in said["open"]
    assert said["terminates"], "it kept its parent's handler"
    assert "WORD" not in os.environ
    assert child.poll() is None


def an_end_is_told_once_and_noted(family: Family) -> None:
    child = family.child
    child.start_if_due()
    family.hear()
    child.channel.send({"exit": 3})
    assert family.ended() == 3
    assert child.poll() is None
    assert (child.pid, child.restarts.count, child.restarts.last_exit) == (0, 1, "exit status 3")


def an_exception_is_an_end_like_others(family: Family) -> None:
    family.child.start_if_due()
    family.hear()
    family.child.channel.send({"raise": True})
    assert family.ended() == os.EX_SOFTWARE


def it_comes_back_on_a_fresh_channel(family: Family) -> None:
    child = family.child
    child.start_if_due()
    first = family.hear()["pid"]
    child.channel.send({"never": "read by the next"})
    kill(first)
    assert family.ended() == -signal.SIGKILL
    assert child.restarts.last_exit == "killed by SIGKILL"
    assert child.start_if_due()
    second = family.hear()
    assert second["pid"] == child.pid != first
    assert second["open"] == second["allowed"]


def it_is_not_started_before_it_is_due(family: Family) -> None:
    child = family.child
    for expected in (True, True, False):  # the third start in a row waits
        assert child.start_if_due() == expected
        if expected:
            child.signal(signal.SIGKILL)
            family.ended()
    family.clock.now = child.restarts.due_ns
    assert child.start_if_due()


def it_ends_when_its_parent_closes_the_channel(family: Family) -> None:
    child = family.child
    child.start_if_due()
    family.hear()
    child.channel.close()
    child.channel = None
    assert child.wait(SECONDS)


def waiting_for_one_that_does_not_listen_ends_it(family: Family) -> None:
    child = family.child
    child.start_if_due()
    family.hear()
    child.channel.send({"deaf": True})
    assert family.hear() == {"deaf": True}
    pid = child.pid
    child.signal(signal.SIGTERM)
    assert not child.wait(0.0)
    assert (child.pid, os.path.exists(f"/proc/{pid}")) == (0, False)


def nothing_is_asked_of_one_that_is_not_there(family: Family) -> None:
    child = family.child
    assert (child.pid, child.poll(), child.wait(0.0)) == (0, None, True)
    child.signal(signal.SIGTERM)
    kill(2**22 - 1)  # beyond the last process of a machine


def only_one_that_waits_for_ever_is_stuck(family: Family) -> None:
    child = family.child
    child.start_if_due()
    family.hear()
    child.signal(signal.SIGSTOP)
    assert os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT).si_status == signal.SIGSTOP
    assert is_stuck(child.pid)
    child.signal(signal.SIGCONT)
    child.channel.send({"spin": True})
    assert family.hear() == {"spinning": True}
    assert not is_stuck(child.pid)


def a_parent_with_two_threads_does_not_fork(family: Family) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with pytest.raises(RuntimeError, match="2 threads"):
        family.child.start_if_due()
    stop.set()
    thread.join()


def the_kernel_ends_it_with_its_parent(family: Family) -> None:
    """A parent that is killed takes its child along, even one that hears nothing."""
    ours, theirs = channel_pair()
    grandparent = Channel(ours)
    reading, writing = os.pipe()

    def be_parent() -> int:
        family.child.start_if_due()
        Channel(theirs).send({"child": family.hear()["pid"]})
        signal.pause()
        return 0

    def be_child_of(descriptors: Descriptors) -> int:
        Channel.of_descriptor(descriptors.supervisor).send({"pid": os.getpid()})
        while True:
            signal.pause()

    family.child._run = be_child_of
    family.child._inherit = lambda end: Descriptors(supervisor=end, memory=writing)
    parent = fork("parent", be_parent, (theirs.fileno(), reading, writing))
    os.close(writing)
    assert grandparent.receive(SECONDS)["child"] > 0
    kill(parent)
    # Nobody has the writing end any more: the child is gone as well.
    assert readable([reading], SECONDS)
    assert os.read(reading, 1) == b""


SCENARIOS = [
    it_starts_once_with_what_it_may_have_and_nothing_else,
    an_end_is_told_once_and_noted,
    an_exception_is_an_end_like_others,
    it_comes_back_on_a_fresh_channel,
    it_is_not_started_before_it_is_due,
    it_ends_when_its_parent_closes_the_channel,
    waiting_for_one_that_does_not_listen_ends_it,
    nothing_is_asked_of_one_that_is_not_there,
    only_one_that_waits_for_ever_is_stuck,
    a_parent_with_two_threads_does_not_fork,
    the_kernel_ends_it_with_its_parent,
]

if __name__ == "__main__":
    own = Family()
    try:
        next(each for each in SCENARIOS if each.__name__ == sys.argv[1])(own)
    finally:
        if own.child.pid:
            kill(own.child.pid)
