"""An emulated board on disk, whose readings change when a test says so."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.telemetry.jetson_emulation.boards import BOARDS, zone_key
from tests.telemetry.jetson_emulation.build import Builder
from tests.telemetry.jetson_emulation.files import get, put

PARTS = ("sys", "overlay", "nvpmodel", "prefix", "nvml", "bin")
AT_REST = ("gpu.load", "emc.activity", "fan.pwm", "fan.rpm")


class Tree:
    """The board in a folder. Readings are changed by key:

    power.RAIL       milliwatts, or (millivolts, milliamperes); None: the monitor does not answer
    temp.ZONE        celsius; None: the sensor is off
    gpu.load         0 to 1; with gpu.hertz, gpu.max_hertz, gpu.runtime_status ("active", "suspended")
    emc.load         0 to 1; emc.hertz
    fan.pwm, fan.rpm, cooling.KIND, nvpmodel (id)
    memory.available, memory.gpu    kB
    rapl.NAME        joules
    processes        a list of (user, name, pid, kB of GPU memory)
    nvml             a mapping of the stand-in's values
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        info = json.loads(get(self.root / "board.json"))
        self.name: str = info["board"]
        self.board = BOARDS[self.name]
        self.where = info["where"]

    @classmethod
    def build(cls, root: str | Path, board: str = "orin-nano", nvml: bool = False) -> Tree:
        """Write a board's files, anew.

        Args:
            root: the folder.
            board: a name in `BOARDS`.
            nvml: compile the stand-in for libnvidia-ml too; needs a C compiler.
        """
        root = Path(root).absolute()
        for part in PARTS:
            shutil.rmtree(root / part, ignore_errors=True)
        builder = Builder(root, BOARDS[board])
        builder.build()
        put(root / "board.json", json.dumps({"board": board, "where": builder.where}, indent=1))
        tree = cls(root)
        if nvml:
            compile_nvml(root / "nvml")
        tree.reset()
        return tree

    @property
    def sys(self) -> str:
        """The folder that is /sys inside."""
        return str(self.root / "sys")

    @property
    def etc(self) -> str:
        """The folder that lies over /etc inside."""
        return str(self.root / "overlay/etc")

    def path(self, key: str) -> Path:
        """Return the file of a reading."""
        return Path(self.where[key])

    def reset(self) -> None:
        """Go back to a board at rest; possible while it is in use."""
        for key in self.where:
            if key in AT_REST or key.startswith("cooling."):
                put(self.path(key), 0)
        for rail in self.board.rails:
            self.set(f"power.{rail.name}", rail.milliwatts)
        for zone, celsius in self.board.zones.items():
            self.set(zone_key(zone), celsius)
        for name in self.board.rapl:
            self.set(f"rapl.{name}", 0)
        self._meminfo(self.board.memory_kb, self.board.memory_kb * 3 // 4, 0)
        self.set("processes", [])
        if self.board.gpu is not None:
            self.set("nvpmodel", 0)
            self.set("gpu.hertz", self.board.gpu.hertz[0])
            self.set("gpu.max_hertz", self.board.gpu.hertz[1])
            if "gpu.runtime_status" in self.where:
                self.set("gpu.runtime_status", "active")
        if (self.root / "nvml").is_dir():
            self.set("nvml", {"name": "NVIDIA Thor", "load": 0, "smclock": 315, "maxsmclock": 1575})

    def set(self, key: str, value: object) -> None:
        """Change one reading."""
        match key.split(".")[0], value:
            case "power", _:
                self._rail(key, value)
            case "temp", None:
                put(self.path(key), "")
            case "temp", float() | int():
                put(self.path(key), round(value * 1000))
            case "processes", list():
                self._processes(value)
            case "memory", int():
                total, available, gpu = self._memory()
                is_gpu = key == "memory.gpu"
                self._meminfo(total, available if is_gpu else value, value if is_gpu else gpu)
            case "nvml", Mapping():
                put(self.root / "nvml/values", "".join(f"{name} {number}\n" for name, number in value.items()))
            case "rapl", float() | int():
                put(self.path(key), int(value * 1e6))
                os.chmod(self.path(key), 0o400)
            case _, float() | int() if key == "gpu.load":
                put(self.path(key), round(value * 1000))
            case _, float() | int() if key == "emc.load":  # jtop divides the activity by the clock in kHz
                put(self.path("emc.activity"), int(value * 100 * int(get(self.path("emc.hertz"))) / 1000))
            case _, _:
                put(self.path(key), value)

    def get(self, key: str) -> str:
        """Return what the board shows now: for instance the fan speed that jtop has written."""
        return get(self.path(key))

    def _rail(self, key: str, value: object) -> None:
        style, folder, channel = self.where[key]
        names = {
            "hwmon": ("in{}_input", "curr{}_input"),
            "iio": ("in_voltage{}_input", "in_current{}_input", "in_power{}_input"),
            "ina238": ("in{}_input", "curr{}_input", "power{}_input"),
        }[style]
        paths = [Path(folder) / name.format(channel) for name in names]
        if value is None:
            for path in paths:
                path.unlink(missing_ok=True)
            return
        if isinstance(value, Sequence):
            millivolts, milliamperes = value
        else:
            rail = next(rail for rail in self.board.rails if f"power.{rail.name}" == key)
            millivolts, milliamperes = rail.millivolts, round(value * 1000 / rail.millivolts)
        put(paths[0], millivolts)
        put(paths[1], milliamperes)
        for path in paths[2:]:
            milliwatts = millivolts * milliamperes // 1000
            put(path, milliwatts * 1000 if style == "ina238" else milliwatts)

    def _processes(self, rows: list[tuple[str, str, int, int]]) -> None:
        if "processes" not in self.where:
            return
        lines = ["CLIENT   PROCESS           PID     SIZE"]
        lines += [f"{user:<8} {name:<16} {pid:6d} {size:8d}K" for user, name, pid, size in rows]
        lines.append(f"total{sum(row[3] for row in rows):33d}K")
        put(self.path("processes"), "\n".join(lines) + "\n")

    def _memory(self) -> tuple[int, int, int]:
        fields = dict(re.findall(r"(\w+):\s+(\d+)", (self.root / "meminfo").read_text()))
        return int(fields["MemTotal"]), int(fields["MemAvailable"]), int(fields.get("NvMapMemUsed", 0))

    def _meminfo(self, total: int, available: int, gpu: int) -> None:
        # It is mounted as a file, so it is rewritten in place; fields of fixed width keep it readable meanwhile.
        cached = available // 3
        fields = {"MemTotal": total, "MemFree": available - cached, "MemAvailable": available, "Cached": cached}
        fields |= dict.fromkeys(("Buffers", "SwapCached", "SwapTotal", "SwapFree", "Active", "Inactive"), 0)
        fields |= dict.fromkeys(("Shmem", "Slab", "SReclaimable"), 0)
        if self.board.gpu is not None and self.board.gpu.has_load:
            fields["NvMapMemUsed"] = gpu
        data = "".join(f"{name + ':':<16}{number:12d} kB\n" for name, number in fields.items()).encode()
        descriptor = os.open(self.root / "meminfo", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def compile_nvml(folder: Path) -> None:
    """Compile the stand-in for libnvidia-ml; the namespace puts it in reach."""
    folder.mkdir(exist_ok=True)
    source, library = Path(__file__).with_name("nvml_stub.c"), folder / "libnvidia-ml.so.1"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
