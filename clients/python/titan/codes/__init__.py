"""What every code says that the daemon, the client or titanctl may show: the one place where it is written down.

`titanctl explain` prints it, `docs/reference/codes.md` is made of it, and a test sees to it that no code goes without.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from titan.codes import client, health, models, samples, storage, training
from titan.codes.code import Code

__all__ = ["CHAPTERS", "CODES", "Code", "nearest"]

CHAPTERS: Mapping[str, tuple[Code, ...]] = {
    "Health": health.CODES,
    "State of the training, and how batches are chosen": training.CODES,
    "Samples, labels and streams": samples.CODES,
    "Disk, checkpoints, snapshots and exports": storage.CODES,
    "Configuration and models": models.CODES,
    "The client and titanctl": client.CODES,
}
CODES: Mapping[str, Code] = {code.name: code for chapter in CHAPTERS.values() for code in chapter}


def nearest(name: str) -> str:
    """Return the known code that is most like a name.

    >>> nearest("disk-full"), nearest("NOT_DURABEL")
    ('DISK_FULL', 'NOT_DURABLE')
    """
    wanted = name.upper().replace("-", "_").replace(" ", "_")
    return difflib.get_close_matches(wanted, CODES, n=1, cutoff=0.0)[0]
