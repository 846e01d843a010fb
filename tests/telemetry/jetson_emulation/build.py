"""Writes the files of one board, and notes where each reading lives."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.telemetry.jetson_emulation.boards import Board, Gpu, zone_key
from tests.telemetry.jetson_emulation.files import link, put

JTOP_GROUP = 64991  # only inside the namespace's /etc/group

NVPMODEL = """#!/bin/sh
# Answers as NVIDIA's tool does, as far as jtop reads it.
cd {folder} || exit 1
echo "$*" >> calls
now=$(cat current)
case "$1" in
-p) cat modes ;;
-q) cat "mode.$now" ;;
-m)
    [ -e "mode.$2" ] || {{ echo "NVPM ERROR: invalid mode"; exit 1; }}
    [ "$(cat "mask.$2")" = "$(cat "mask.$now")" ] || {{ echo "NVPM ERROR: mode $2 needs a reboot"; exit 1; }}
    echo "$2" > current.new && mv current.new current
    cp "hertz.$2" hertz.new && mv hertz.new {max_freq}
    ;;
esac
"""


class Builder:
    """Builds a board below `root`.

    After `build`, `where` has the place of each reading: a path, or for a rail (style, folder, channel).
    """

    def __init__(self, root: Path, board: Board) -> None:
        self.root, self.board = root, board
        self.sys = root / "sys"
        self.where: dict[str, str | tuple[str, str, int]] = {}

    def build(self) -> None:
        """Write everything."""
        self._processors()
        self._thermal_zones()
        self._cooling()
        put(self.sys / "devices/virtual/dmi/id/product_name", self.board.model)
        (self.sys / "class/power_supply").mkdir(parents=True)
        if self.board.gpu is not None:
            self._device_tree()
            self._gpu(self.board.gpu)
            self._rails()
            self._fan()
            self._memory_clock()
            self._nvpmodel()
        self._rapl()
        self._etc()
        for folder in ("run", "prefix", "bin"):
            (self.root / folder).mkdir(exist_ok=True)

    def _put(self, path: Path, text: object, key: str = "") -> None:
        put(path, text)
        if key:
            self.where[key] = str(path)

    def _processors(self) -> None:
        # jtop matches them with /proc/stat, so they are this machine's; what the board has beyond is offline.
        host = len(re.findall(r"^cpu\d+ ", Path("/proc/stat").read_text(), re.M))
        total = max(host, self.board.core_count)
        for core in range(total):
            folder = self.sys / f"devices/system/cpu/cpu{core}"
            put(folder / "online", int(core < host))
            for prefix in ("scaling", "cpuinfo"):
                for name, kilohertz in (("min", 115200), ("max", 1728000), ("cur", 729600)):
                    put(folder / f"cpufreq/{prefix}_{name}_freq", kilohertz)
            put(folder / "cpufreq/scaling_governor", "schedutil")
        for name, count in (("online", host), ("possible", total), ("present", total)):
            put(self.sys / "devices/system/cpu" / name, f"0-{count - 1}" if count > 1 else "0")

    def _device_tree(self) -> None:
        tree = self.sys / "firmware/devicetree/base"
        put(tree / "model", self.board.model + "\0")
        put(tree / "compatible", f"nvidia,emulated\0nvidia,{self.board.soc}\0")
        put(tree / "serial-number", "1420000000000\0")

    def _gpu(self, gpu: Gpu) -> None:
        device = self.sys / "devices" / gpu.parent
        entry = device / "devfreq" / gpu.entry
        if gpu.has_load:
            self._put(device / "load", 0, "gpu.load")
            self._put(device / "power/runtime_status", "active", "gpu.runtime_status")
            put(device / "of_node/name", gpu.name + "\0")
            put(device / "railgate_enable", 1)
            put(device / "tpc_pg_mask", 0)
            put(device / "enable_3d_scaling", 1)
            put(device / "power/control", "auto")
            self.where["processes"] = str(self.sys / "kernel/debug/nvmap/iovmm/maps")
        put(entry / "min_freq", gpu.hertz[0])
        self._put(entry / "cur_freq", gpu.hertz[0], "gpu.hertz")
        self._put(entry / "max_freq", gpu.hertz[1], "gpu.max_hertz")
        put(entry / "governor", "nvhost_podgov")
        put(entry / "available_governors", "performance nvhost_podgov")
        link(device, entry / "device")
        link(entry, self.sys / "class/devfreq" / gpu.entry)

    def _rails(self) -> None:
        device = self.sys / "bus/i2c/devices" / self.board.i2c
        if self.board.power == "iio":
            put(device / "name", "ina3221x")
            monitor = device / "iio:device0"
            for number, rail in enumerate(self.board.rails):
                put(monitor / f"rail_name_{number}", rail.name)
                put(monitor / f"warn_current_limit_{number}", 4000)
                put(monitor / f"crit_current_limit_{number}", 5000)
                self.where[f"power.{rail.name}"] = ("iio", str(monitor), number)
            return
        monitor = self._monitor(device, "ina3221", "hwmon1")
        for number, rail in enumerate((rail for rail in self.board.rails if rail.name != "VIN"), 1):
            put(monitor / f"in{number}_label", rail.name)
            put(monitor / f"curr{number}_max", 4000)
            put(monitor / f"curr{number}_crit", 5000)
            put(monitor / f"curr{number}_max_alarm", 0)
            put(monitor / f"curr{number}_crit_alarm", 0)
            self.where[f"power.{rail.name}"] = ("hwmon", str(monitor), number)
        put(monitor / "in7_label", "sum of shunt voltages")
        put(monitor / "in7_input", 0)
        if any(rail.name == "VIN" for rail in self.board.rails):
            monitor = self._monitor(self.sys / "bus/i2c/devices/2-0044", "ina238", "hwmon2")
            self.where["power.VIN"] = ("ina238", str(monitor), 1)

    def _monitor(self, device: Path, kind: str, name: str) -> Path:
        put(device / "name", kind)
        monitor = device / "hwmon" / name
        put(monitor / "name", kind)
        link(monitor, self.sys / "class/hwmon" / name)
        return monitor

    def _thermal_zones(self) -> None:
        for number, zone in enumerate(self.board.zones):
            folder = self.sys / f"devices/virtual/thermal/thermal_zone{number}"
            put(folder / "type", zone)
            for point, (kind, millidegrees) in enumerate((("passive", 99000), ("critical", 104500))):
                put(folder / f"trip_point_{point}_type", kind)
                put(folder / f"trip_point_{point}_temp", millidegrees)
            link(folder, self.sys / f"class/thermal/thermal_zone{number}")
            self.where[zone_key(zone)] = str(folder / "temp")

    def _cooling(self) -> None:
        for number, kind in enumerate(["cpufreq-cpu0", *(["gpu-throttle-alert"] if self.board.gpu else [])]):
            folder = self.sys / f"devices/virtual/thermal/cooling_device{number}"
            put(folder / "type", kind)
            put(folder / "max_state", 3)
            self._put(folder / "cur_state", 0, f"cooling.{kind}")
            link(folder, self.sys / f"class/thermal/cooling_device{number}")

    def _fan(self) -> None:
        if self.board.fan == "legacy":
            folder = self.sys / "devices/pwm-fan"
            put(folder / "temp_control", 1)
            self._put(folder / "target_pwm", 0, "fan.pwm")
            self._put(folder / "rpm_measured", 0, "fan.rpm")
            return
        fan = self.sys / "devices/platform/pwm-fan/hwmon/hwmon3"
        put(fan / "name", "pwmfan")
        put(fan / "pwm1_enable", 1)
        self._put(fan / "pwm1", 0, "fan.pwm")
        tachometer = self.sys / "devices/platform/39c0000.tachometer/hwmon/hwmon4"
        put(tachometer / "name", "pwm_tach")
        self._put(tachometer / "rpm", 0, "fan.rpm")
        link(fan, self.sys / "class/hwmon/hwmon3")
        link(tachometer, self.sys / "class/hwmon/hwmon4")

    def _memory_clock(self) -> None:
        debug = self.sys / "kernel/debug"
        if self.board.emc == "bpmp":
            folder = debug / "bpmp/debug/clk/emc"
            self._put(folder / "rate", 2133000000, "emc.hertz")
            put(folder / "max_rate", 2133000000)
            put(folder / "min_rate", 204000000)
            put(folder / "mrq_rate_locked", 0)
            self._put(debug / "cactmon/mc_all", 0, "emc.activity")
        else:
            (debug / "tegra_bwmgr").mkdir(parents=True)
            self._put(debug / "clk/override.emc/clk_rate", 1600000000, "emc.hertz")
            put(debug / "clk/override.emc/clk_state", 0)
            put(self.sys / "kernel/tegra_bwmgr/emc_max_rate", 1600000000)
            put(self.sys / "kernel/tegra_bwmgr/emc_min_rate", 40800000)
            self._put(self.sys / "kernel/actmon_avg_activity/mc_all", 0, "emc.activity")

    def _rapl(self) -> None:
        for number, name in enumerate(self.board.rapl):
            folder = self.sys / f"devices/virtual/powercap/intel-rapl/intel-rapl:{number}"
            put(folder / "name", name)
            put(folder / "max_energy_range_uj", 262143328850)
            self._put(folder / "energy_uj", 0, f"rapl.{name}")
            os.chmod(folder / "energy_uj", 0o400)  # as the kernel has it
            link(folder, self.sys / f"class/powercap/intel-rapl:{number}")

    def _nvpmodel(self) -> None:
        folder = self.root / "nvpmodel"
        put(folder / "calls", "")
        lines = [f"NVPM VERB: PM_CONFIG: DEFAULT={self.board.modes[0].name}(0)"]
        for number, mode in enumerate(self.board.modes):
            lines.append(f"NVPM VERB: POWER_MODEL: ID={number} NAME={mode.name}")
            if mode.mask:
                lines.append(f"NVPM VERB: TPC_POWER_GATING TPC_PG_MASK {mode.mask}")
            lines.append(f"NVPM VERB: GPU MAX_FREQ {mode.gpu_hertz}")
            put(folder / f"mode.{number}", f"NV Power Mode: {mode.name}\n{number}\n")
            put(folder / f"mask.{number}", mode.mask)
            put(folder / f"hertz.{number}", mode.gpu_hertz)
        put(folder / "modes", "\n".join(lines) + "\n")
        self._put(folder / "current", 0, "nvpmodel")
        tool = self.root / "bin/nvpmodel"
        put(tool, NVPMODEL.format(folder=folder, max_freq=self.where["gpu.max_hertz"]))
        os.chmod(tool, 0o755)

    def _etc(self) -> None:
        etc = self.root / "overlay/etc"
        group = JTOP_GROUP if os.geteuid() == 0 else 0
        lines = [line for line in Path("/etc/group").read_text().splitlines() if not line.startswith("jtop:")]
        put(etc / "group", "\n".join([*lines, f"jtop:x:{group}:"]) + "\n")
        if self.board.l4t:
            major, _, minor = self.board.l4t.partition(".")
            release = f"# R{major} (release), REVISION: {minor}, GCID: 0, BOARD: generic, EABI: aarch64"
            put(etc / "nv_tegra_release", release + "\n")
