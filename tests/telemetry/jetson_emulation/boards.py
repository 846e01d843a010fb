"""The boards: what each has, and what it reads at rest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rail:
    """One channel of a power monitor: its name, bus voltage and power at rest."""

    name: str
    millivolts: int
    milliwatts: int


@dataclass(frozen=True)
class Mode:
    """A power mode: its name, the mask of gated GPU units (another mask needs a reboot), the GPU's top clock."""

    name: str
    mask: str
    gpu_hertz: int


@dataclass(frozen=True)
class Gpu:
    """The GPU: its devfreq entry, its name in the device tree, its place below /sys/devices, its clocks."""

    entry: str
    name: str
    parent: str
    hertz: tuple[int, int]
    has_load: bool = True  # the classic driver with its load file and debugfs tables; Thor answers through NVML


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        zones: celsius by type of thermal zone; None: the sensor is off.
        soc: the chip, last in the device tree's compatible list.
        l4t: release of Linux for Tegra; empty: no Jetson.
        power: "hwmon", or "iio" for the driver before it.
        fan: "hwmon", or "legacy" for the driver before it.
        emc: "bpmp", or "bwmgr" for the memory clock's older place.
        i2c: address of the power monitor.
        rapl: energy counters by name.
    """

    model: str
    core_count: int
    memory_kb: int
    zones: dict[str, float | None]
    rails: tuple[Rail, ...] = ()
    modes: tuple[Mode, ...] = ()
    gpu: Gpu | None = None
    soc: str = ""
    l4t: str = ""
    power: str = "hwmon"
    fan: str = "hwmon"
    emc: str = "bpmp"
    i2c: str = "1-0040"
    rapl: tuple[str, ...] = field(default=())


def zone_key(zone: str) -> str:
    """Return the key under which a test changes a zone: temp.gpu for gpu-thermal."""
    return "temp." + re.split("[-_]", zone)[0]


BOARDS = {
    "orin-nano": Board(
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        soc="tegra234",
        l4t="36.4.3",
        core_count=6,
        memory_kb=7802864,
        gpu=Gpu("17000000.gpu", "gpu", "platform/bus@0/17000000.gpu", (306000000, 1020000000)),
        rails=(Rail("VDD_IN", 5072, 4800), Rail("VDD_CPU_GPU_CV", 5072, 640), Rail("VDD_SOC", 5064, 1450)),
        zones={
            "cpu-thermal": 47.4,
            "gpu-thermal": 47.0,
            "cv0-thermal": None,
            "cv1-thermal": None,
            "cv2-thermal": None,
            "soc0-thermal": 46.1,
            "soc1-thermal": 47.2,
            "soc2-thermal": 46.5,
            "tj-thermal": 47.4,
        },
        modes=(
            Mode("15W", "252", 624750000),
            Mode("25W", "252", 918000000),
            Mode("MAXN_SUPER", "252", 1020000000),
            Mode("7W", "253", 408000000),
        ),
    ),
    # No input rail: the board's power is the sum of its rails.
    "agx-orin": Board(
        model="NVIDIA Jetson AGX Orin Developer Kit",
        soc="tegra234",
        l4t="36.4.3",
        core_count=12,
        memory_kb=64349840,
        gpu=Gpu("17000000.gpu", "gpu", "platform/bus@0/17000000.gpu", (306000000, 1300500000)),
        rails=(
            Rail("VDD_GPU_SOC", 19200, 2400),
            Rail("VDD_CPU_CV", 19200, 800),
            Rail("VIN_SYS_5V0", 5016, 3600),
        ),
        zones={
            "cpu-thermal": 50.2,
            "gpu-thermal": 46.3,
            "soc0-thermal": 47.0,
            "soc1-thermal": 46.4,
            "soc2-thermal": 46.2,
            "tj-thermal": 50.2,
            "tboard-thermal": 38.0,
        },
        modes=(
            Mode("MAXN", "252", 1300500000),
            Mode("MODE_15W", "253", 420750000),
            Mode("MODE_30W", "252", 624750000),
            Mode("MODE_50W", "252", 828750000),
        ),
    ),
    "xavier-nx": Board(
        model="NVIDIA Jetson Xavier NX Developer Kit",
        soc="tegra194",
        l4t="35.4.1",
        core_count=6,
        memory_kb=7118312,
        gpu=Gpu("17000000.gv11b", "gv11b", "17000000.gv11b", (114750000, 1109250000)),
        rails=(Rail("VDD_IN", 5032, 3900), Rail("VDD_CPU_GPU_CV", 5032, 450), Rail("VDD_SOC", 5024, 1120)),
        zones={
            "CPU-therm": 38.5,
            "GPU-therm": 37.0,
            "AUX-therm": 37.5,
            "AO-therm": 38.0,
            "PMIC-Die": 100.0,
            "thermal-fan-est": 37.7,
        },
        modes=(
            Mode("MODE_15W_2CORE", "1", 1109250000),
            Mode("MODE_10W_2CORE", "1", 803250000),
            Mode("MODE_15W_6CORE", "1", 1109250000),
        ),
    ),
    # JetPack 4: the older drivers of power, fan and memory clock.
    "nano": Board(
        model="NVIDIA Jetson Nano Developer Kit",
        soc="tegra210",
        l4t="32.7.4",
        core_count=4,
        memory_kb=4059360,
        gpu=Gpu("57000000.gpu", "gpu", "57000000.gpu", (76800000, 921600000)),
        rails=(Rail("POM_5V_IN", 5144, 2100), Rail("POM_5V_GPU", 5136, 40), Rail("POM_5V_CPU", 5136, 330)),
        zones={
            "AO-therm": 41.5,
            "CPU-therm": 33.5,
            "GPU-therm": 31.0,
            "PLL-therm": 31.5,
            "PMIC-Die": 100.0,
            "thermal-fan-est": 32.2,
        },
        modes=(Mode("MAXN", "", 921600000), Mode("5W", "", 640000000)),
        power="iio",
        fan="legacy",
        emc="bwmgr",
        i2c="6-0040",
    ),
    # JetPack 7: a monitor of its own at the board's input; the GPU's load through NVML only.
    "thor": Board(
        model="NVIDIA Jetson AGX Thor Developer Kit",
        soc="tegra264",
        l4t="38.2.0",
        core_count=14,
        memory_kb=128862592,
        gpu=Gpu("gpu-gpc-0", "gpu-gpc-0", "pci0000:00/0000:00:00.0/0000:01:00.0", (315000000, 1575000000), False),
        rails=(
            Rail("VDD_GPU", 12000, 3100),
            Rail("VDD_CPU_SOC_MSS", 12000, 7800),
            Rail("VIN_SYS_5V0", 5000, 5200),
            Rail("VIN", 20000, 31000),
        ),
        zones={
            "cpu-thermal": 42.0,
            "gpu-thermal": 41.0,
            "soc012-thermal": 41.5,
            "soc345-thermal": 41.0,
            "tj-thermal": 42.0,
        },
        modes=(Mode("MAXN", "1", 1575000000), Mode("120W", "1", 1386000000)),
    ),
    # No Jetson: what a server or a laptop has.
    "pc": Board(
        model="Emulated PC",
        core_count=4,
        memory_kb=16000000,
        zones={"x86_pkg_temp": 44.0},
        rapl=("package-0", "dram"),
    ),
}

JETSONS = [name for name, board in BOARDS.items() if board.gpu is not None]
