"""Load and clock of the GPU."""

import pytest

from tests.telemetry.jetson_emulation.boards import JETSONS
from tests.telemetry.jetson_emulation.files import put
from titand.telemetry.gpu import Gpu


def bare(reading):
    return {name: value.value for name, value in reading.values.items()}


@pytest.mark.parametrize("name", [name for name in JETSONS if name != "thor"])
def test_load_and_clock_of_every_board_are_read(build, name):
    tree = build(name)
    tree.set("gpu.load", 0.97)

    lowest, highest = tree.board.gpu.hertz
    assert bare(Gpu(tree.sys).read(0)) == {
        "gpu_utilization_ratio": 0.97,
        "gpu_frequency_hertz": lowest,
        "gpu_frequency_max_hertz": highest,
    }


def test_a_gpu_whose_driver_gives_no_load_has_no_load(build):
    reading = Gpu(build("thor").sys).read(0)

    assert "gpu_utilization_ratio" not in reading.values
    assert bare(reading)["gpu_frequency_hertz"] == 315000000
    assert "no load" in reading.detail


def test_a_suspended_gpu_is_idle_and_its_load_is_not_read(build):
    tree = build("orin-nano")
    tree.set("gpu.load", 0.5)  # reading it would say so, and wake the GPU
    tree.set("gpu.runtime_status", "suspended")

    assert bare(Gpu(tree.sys).read(0))["gpu_utilization_ratio"] == 0.0


def test_another_device_with_a_clock_is_not_taken_for_the_gpu(build):
    tree = build("orin-nano")
    other = tree.root / "sys/class/devfreq/1.nvdla"  # before the GPU in the listing
    put(other / "device/of_node/name", "nvdla0\0")
    put(other / "device/load", 111)

    assert bare(Gpu(tree.sys).read(0))["gpu_utilization_ratio"] == 0.0


def test_a_gpu_that_appears_late_is_found(build):
    tree = build("orin-nano")
    later = (tree.root / "sys/class/devfreq").rename(tree.root / "sys/class/later")
    gpu = Gpu(tree.sys)
    assert gpu.read(0) is None

    later.rename(tree.root / "sys/class/devfreq")

    assert gpu.read(1).is_up


def test_an_empty_load_is_unknown_and_not_idle(build):
    tree = build("orin-nano")
    put(tree.path("gpu.load"), "")

    assert "gpu_utilization_ratio" not in Gpu(tree.sys).read(0).values


def test_a_pc_has_no_such_gpu(build):
    assert Gpu(build("pc").sys).read(0) is None
