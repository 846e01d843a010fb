"""The genuine jtop service, started as its systemd unit starts it: jtop --force.

    PYTHON service.py DIR [VERSION]

runs under an interpreter that has jetson-stats, inside the namespace. Facts of this machine are changed before
jetson-stats is imported, none of its code: the machine's name (it takes the Jetson branch on aarch64 only) and the
prefix below which it keeps its configuration. With VERSION the service says it is of that version.
"""

import ctypes
import os
import platform
import re
import signal
import sys

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Become the service."""
    root, *version = sys.argv[1:]
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)  # it ends with whoever started it
    if os.path.exists(os.path.join(root, "nvpmodel")):
        platform.machine = lambda: "aarch64"
    sys.base_prefix = os.path.join(root, "prefix")
    os.environ["JTOP_SERVICE"] = "True"
    sys.argv = ["jtop", "--force"]
    if version:
        import jtop.service

        jtop.service.get_var = lambda pattern: version[0] if isinstance(pattern, re.Pattern) else ""
    from jtop.__main__ import main as jtop_main

    jtop_main()


if __name__ == "__main__":
    main()
