"""The load and clock of a Jetson's GPU, from its devfreq entry; needs neither root nor a library."""

from __future__ import annotations

import os
import re

from titand.telemetry.sensors import Reading, quantities
from titand.telemetry.sysfs import entries, read_int, read_text

# What the device tree calls the GPU: gpu, gpu-gpc-0, or its chip (gk20a, gm20b, gp10b, gv11b, ga10b).
GPU_NAME = re.compile(r"gpu|g[a-z]\d\d[ab]\b")


class Gpu:
    """The sensor of the GPU's load and clock.

    The load is one short sample of the driver's, not a mean, and relative to the present clock: judge by several
    of them, times frequency over maximum. A GPU that power management has suspended has load 0 and is not woken
    to say so.
    """

    name = "sysfs-gpu"

    def __init__(self, sys: str = "/sys") -> None:
        self._folder = os.path.join(sys, "class/devfreq")
        self._entry: str | None = None

    def read(self, now_ns: int) -> Reading | None:
        """See `Sensor`."""
        entry = self._entry = self._entry or find_gpu(self._folder)
        if entry is None:
            return None
        values = quantities(
            gpu_utilization_ratio=self._load(entry),
            gpu_frequency_hertz=read_int(os.path.join(entry, "cur_freq")),
            gpu_frequency_max_hertz=read_int(os.path.join(entry, "max_freq")),
        )
        if not values:
            self._entry = None  # the driver may come back elsewhere
        detail = "" if "gpu_utilization_ratio" in values else "the driver gives no load"
        return Reading(self.name, now_ns, values=values, detail=detail)

    def _load(self, entry: str) -> float | None:
        if read_text(os.path.join(entry, "device/power/runtime_status")) == "suspended":
            return 0.0
        permille = read_int(os.path.join(entry, "device/load"))
        return None if permille is None else permille / 1000


def find_gpu(folder: str) -> str | None:
    """Return the devfreq entry of the GPU: by its name in the device tree, or by its own."""
    for entry in entries(folder):
        name = read_text(os.path.join(entry, "device/of_node/name")) or os.path.basename(entry)
        if GPU_NAME.search(name):
            return entry
    return None
