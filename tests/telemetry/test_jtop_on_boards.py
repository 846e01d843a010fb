"""The telemetry worker on emulated boards, with the genuine jtop service and client of jetson-stats.

Skipped where the environment .venv-jtop is not set up (`make setup`) or mount namespaces are not permitted.
"""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.telemetry.emulated_board import (
    JTOP_PYTHON,
    EmulatedBoard,
    NamespaceRefused,
    read_line,
    source,
    values,
    wait_for,
)

FAST = {"interval": 0.5, "silent_seconds": 2.5, "start_seconds": 6.0, "pauses_seconds": [0.3, 1.0]}
JTOP = JTOP_PYTHON.with_name("jtop")
pytestmark = pytest.mark.skipif(not JTOP.exists(), reason=f"no jetson-stats: {JTOP} is missing; make setup")


@pytest.fixture
def board_of(tmp_path):
    """Return a function that starts a board by name."""
    boards = []

    def start(name, nvml=False):
        try:
            boards.append(EmulatedBoard(tmp_path / name, name, nvml))
        except NamespaceRefused as error:
            pytest.skip(str(error))
        return boards[-1]

    yield start
    for board in boards:
        board.close()


@pytest.fixture
def orin(board_of):
    """An Orin Nano."""
    return board_of("orin-nano")


def jtop_is_up(reading):
    return source(reading, "jtop")["up"]


def jtop_is_down(reading):
    return not jtop_is_up(reading)


every_board = [
    "orin-nano",
    "agx-orin",
    "pc",
    pytest.param("xavier-nx", marks=pytest.mark.nightly),
    pytest.param("nano", marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("name", every_board)
def test_the_worker_reads_the_board_and_its_jtop_and_sees_them_change(board_of, name):
    board = board_of(name)
    tree = board.tree
    with board.jtop_service(), board.worker(**FAST) as worker:
        reading = worker.until(jtop_is_up)
        assert reading["board"]["model"] == tree.board.model
        assert values(reading)["memory_total_bytes"] == tree.board.memory_kb * 1024

        tree.set("memory.available", 300_000)
        if tree.board.gpu is None:
            tree.set("rapl.package-0", 50)
            worker.until(lambda reading: values(reading)["energy_joules"] == 50)
        else:
            tree.set(f"power.{tree.board.rails[0].name}", 15000)
            tree.set("gpu.load", 0.97)
            tree.set("emc.load", 0.42)
            tree.set("memory.gpu", 576_000)
            tree.set("temp.GPU" if "temp.GPU" in tree.where else "temp.gpu", 91.5)
            reading = worker.until(lambda reading: values(reading)["emc_utilization_ratio"] == 0.42)
            assert values(reading)["gpu_utilization_ratio"] == 0.97
            worker.until(lambda reading: values(reading)["gpu_memory_bytes"] == 576_000 * 1024)
            assert values(reading)["board_power_watts"] > 14.9
            assert 91.5 in [zone["value"] for zone in reading["temperatures"].values()]
        worker.until(lambda reading: values(reading)["memory_available_bytes"] == 300_000 * 1024)


def test_jtop_touches_no_process_but_its_own(orin):
    """Importing it forces the start method of its process, and loads what it likes."""
    with orin.jtop_service(), orin.worker(**FAST) as worker:
        reading = worker.until(jtop_is_up)

    assert reading["start_method"] is None
    assert reading["jtop_modules"] == []


def test_a_service_that_is_absent_appears_ends_and_comes_back(orin):
    with orin.worker(**FAST) as worker:
        state = worker.source("jtop", lambda state: not state["up"])
        assert "not active" in state["detail"]
        assert "systemctl restart jtop.service" in state["detail"]
        for _ in range(2):
            with orin.jtop_service():
                assert source(worker.until(jtop_is_up), "jtop")["version"]
            reading = worker.until(jtop_is_down)
            assert "emc_utilization_ratio" not in reading["values"]
            assert values(reading)["board_power_watts"] == pytest.approx(4.8, abs=0.01)  # sysfs goes on


def test_a_service_that_hangs_makes_its_values_unknown_until_it_goes_on(orin):
    with orin.jtop_service() as service, orin.worker(**FAST) as worker:
        worker.until(jtop_is_up)
        service.signal(signal.SIGSTOP)

        reading = worker.until(jtop_is_down)
        assert "power_mode" not in reading["values"]
        assert reading["temperatures"]["gpu-thermal"]["source"] == "sysfs-thermal"
        # The next probe hangs while it connects, for ever if it were left to it.
        state = worker.source("jtop", lambda state: "silent" in state["detail"])
        assert not state["up"]

        service.signal(signal.SIGCONT)
        assert values(worker.until(jtop_is_up))["power_mode"] == "15W"


def test_a_hanging_probe_does_not_outlive_a_worker_that_is_killed(orin):
    with orin.jtop_service() as service:
        service.signal(signal.SIGSTOP)  # connecting to it never returns
        with orin.worker(**FAST | {"start_seconds": 600.0}) as worker:
            worker.source("jtop", lambda state: "waiting" in state["detail"])
            probe = int(Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text())

            os.kill(worker.process.pid, signal.SIGKILL)

            wait_for(lambda: not Path(f"/proc/{probe}").exists() or state_of(probe) == "Z", patience=10)


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_service_of_another_version_is_named_with_the_remedy(orin):
    with orin.jtop_service("4.3.2"), orin.worker(**FAST) as worker:
        state = worker.source("jtop", lambda state: "Mismatch" in state["detail"])

    assert "4.3.2" in state["detail"]
    assert "install -U jetson-stats" in state["detail"]


def test_the_loss_of_the_input_rail_is_never_filled_in_by_the_sum_of_the_rest(orin):
    """jtop itself goes over to the sum, under the same name."""
    with orin.jtop_service(), orin.worker(**FAST) as worker:
        worker.until(jtop_is_up)
        orin.tree.set("power.VDD_IN", None)
        lost = worker.until(lambda reading: "VDD_IN" not in reading["rails"])
        for _ in range(4):  # for as long as jtop needs to change its mind
            lost = worker.until(jtop_is_up)
            assert "board_power_watts" not in lost["values"]
        assert set(lost["rails"]) == {"VDD_CPU_GPU_CV", "VDD_SOC"}

        orin.tree.set("power.VDD_IN", 4800)
        back = worker.until(lambda reading: "board_power_watts" in reading["values"])

    energy = back["values"]["energy_joules"]
    assert energy["coverage_ratio"] < 1
    assert energy["value"] == pytest.approx(energy["covered_seconds"] * 4.8, rel=0.01)


def test_a_sensor_that_is_switched_off_is_absent_and_named(orin):
    with orin.worker(**FAST) as worker:
        worker.until(lambda reading: "gpu-thermal" in reading["temperatures"])
        orin.tree.set("temp.gpu", None)
        reading = worker.until(lambda reading: "gpu-thermal" not in reading["temperatures"])

    assert "gpu-thermal" in source(reading, "sysfs-thermal")["detail"]
    assert "cpu-thermal" in reading["temperatures"]


@pytest.mark.nightly
def test_a_bad_sensor_that_ends_the_service_is_outlived(orin):
    """jtop's reader dies of it, and the service with the next client, with status 0: nothing restarts it."""
    with orin.worker(**FAST) as worker:
        with orin.jtop_service() as service:
            worker.until(jtop_is_up)
            folder = Path(orin.tree.where["power.VDD_IN"][1])
            (folder / "in1_input").write_text("")
            worker.until(jtop_is_down)
            orin.tree.set("power.VDD_IN", 4800)
            assert service.process.wait(60) == 0
        with orin.jtop_service():
            worker.until(jtop_is_up)


@pytest.mark.nightly
def test_a_slower_client_that_was_first_slows_us_down_and_does_not_end_us(orin):
    slow = "from jtop import jtop\nwith jtop(interval=3.0) as j:\n    print('up', flush=True)\n    while j.ok(): pass"
    with orin.jtop_service():
        other = orin.popen(str(JTOP_PYTHON), "-c", slow)
        try:
            assert read_line(other) == "up"
            with orin.worker(**FAST | {"silent_seconds": 4.0}) as worker:
                worker.until(jtop_is_up)
                times = {worker.until(jtop_is_up)["read_time_ns"] for _ in range(4)}
                age = source(worker.until(lambda reading: source(reading, "jtop")["age_seconds"] > 1.5), "jtop")
                worker.until(lambda reading: source(reading, "jtop")["age_seconds"] < 1)
        finally:
            other.kill()
            other.communicate()
    assert age["up"]
    assert len(times) == 4


@pytest.mark.nightly
def test_a_service_that_repeats_old_samples_is_stale_and_not_believed(orin):
    """Its tool for the power mode takes longer than a sample, so the client repeats what it has."""
    tool = orin.tree.root / "bin/nvpmodel"
    with orin.jtop_service(), orin.worker(**FAST) as worker:
        worker.until(jtop_is_up)
        script = tool.read_text()
        tool.write_text(script.replace("#!/bin/sh\n", "#!/bin/sh\nsleep 3.5\n", 1))
        reading = worker.until(jtop_is_down)
        assert "power_mode" not in reading["values"]


@pytest.mark.nightly
def test_a_power_mode_that_another_client_sets_is_seen(orin):
    change = "from jtop import jtop\nwith jtop(interval=0.5) as j:\n    j.nvpmodel.set_nvpmodel_id(1)\n    j.ok()"
    with orin.jtop_service(), orin.worker(**FAST) as worker:
        worker.until(lambda reading: values(reading)["power_mode"] == "15W")
        other = orin.popen(str(JTOP_PYTHON), "-c", change)
        worker.until(lambda reading: values(reading)["power_mode"] == "25W")
        other.communicate()
    assert orin.tree.get("nvpmodel") == "1"


@pytest.mark.nightly
def test_gpu_memory_of_our_own_process_is_found_by_its_number(orin):
    with orin.jtop_service(), orin.worker(**FAST) as worker:
        pid = worker.until(jtop_is_up)["processes"][0]["pid"]
        orin.tree.set("processes", [("user", "python3", pid, 512_000), ("user", "camera", 1, 1000)])
        reading = worker.until(lambda reading: "gpu_memory_bytes" in reading["processes"][0])

    assert reading["processes"][0]["gpu_memory_bytes"] == 512_000 * 1024


@pytest.mark.nightly
def test_on_thor_the_load_of_nvml_counts_once_it_was_seen_to_move(board_of):
    thor = board_of("thor", nvml=True)
    with thor.jtop_service(), thor.worker(**FAST) as worker:
        assert "gpu_utilization_ratio" not in worker.until(jtop_is_up)["values"]
        thor.tree.set("nvml", {"name": "NVIDIA Thor", "load": 60, "smclock": 1400, "maxsmclock": 1575})
        reading = worker.until(lambda reading: values(reading)["gpu_utilization_ratio"] == 0.6)
        thor.tree.set("nvml", {"name": "NVIDIA Thor", "load": 0, "smclock": 315, "maxsmclock": 1575})
        worker.until(lambda reading: values(reading)["gpu_utilization_ratio"] == 0.0)

    assert reading["values"]["gpu_utilization_ratio"]["source"] == "jtop"
    assert reading["values"]["board_power_watts"]["rails"] == ["VIN"]


@pytest.mark.nightly
def test_why_jtop_is_kept_out_of_our_processes(orin):
    """If this fails jtop has changed, and could be treated with less caution."""
    code = (
        "import json, multiprocessing as mp; mp.set_start_method('spawn'); import jtop\n"
        "print(json.dumps([jtop.__version__, mp.get_start_method()]))"
    )
    done = orin.popen(str(JTOP_PYTHON), "-c", code)
    version, method = json.loads(done.communicate()[0])
    assert method == ("spawn" if version.startswith("4.") else "fork")
