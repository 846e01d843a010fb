"""A process to be hurt: it does one thing to a store, in a child that stands still until strace has a hold of it.

    python -m tests.faults.victim STORE SIZE_BYTES

reads lines "VERB NUMBER FOLDER", and answers each with two: the child's process id, and what became of it as JSON.
Forking what is loaded already takes 2 ms; a new interpreter for each of some thousand faults would take 50.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults import stores
from titand.errors import TitanError

DONE, REFUSED, UNNAMED, IMPOSTOR = 0, 3, 4, 5  # as it should be, by a TitanError, by an OSError; lied to


def main(name: str, size_bytes: str) -> None:
    """Answer until the input ends."""
    kind = getattr(stores, name)
    with tempfile.TemporaryDirectory() as folder:  # whatever Python loads at the first use is loaded after this
        store = kind(Path(folder), int(size_bytes))
        store.put(1)
        store.get()
    answer = mmap.mmap(-1, 4096)  # shared with the child, who needs no system call to fill it
    for line in sys.stdin:
        verb, number, folder = line.split()
        answer[:] = bytes(len(answer))
        pid = os.fork()
        if not pid:
            os._exit(do(kind(Path(folder), int(size_bytes)), verb, int(number), answer))
        os.waitpid(pid, os.WUNTRACED)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        said = bytes(answer).rstrip(b"\0") or b"null"
        print(json.dumps([os.waitstatus_to_exitcode(status), json.loads(said)]), flush=True)


def do(store: stores.Store, verb: str, number: int, answer: mmap.mmap) -> int:
    """Do it as soon as the process may go on, and return its exit status."""
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        if verb == "put":
            store.put(number)
        else:
            found = store.get()
            said = json.dumps([found.number, found.damaged]).encode()
            answer[: len(said)] = said
        return DONE
    except TitanError:
        return REFUSED
    except OSError:
        return UNNAMED
    except stores.Impostor:
        return IMPOSTOR


if __name__ == "__main__":
    main(*sys.argv[1:])
