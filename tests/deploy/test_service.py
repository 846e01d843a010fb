"""The real unit with the real daemon under a real systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.deploy.installation import BINDS, DEPLOY, Service, install
from tests.deploy.machine import CannotBoot, Machine

STATE = "/var/lib/titand/checkpoints"


@pytest.fixture(scope="module")
def machine():
    if find_spec("torch") is None:
        pytest.skip("the daemon's workers need torch")
    try:
        machine = Machine(BINDS)
    except CannotBoot as error:
        pytest.skip(str(error))
    try:
        install(machine)
        yield machine
    finally:
        machine.end()


@pytest.fixture
def service(machine):
    """The service, up and with its workers at work."""
    service = Service(machine)
    if service.show("ActiveState") != "active":
        service.systemctl("reset-failed", check=False)
        service.systemctl("start")
    service.until("training.state in ('waiting', 'active')")
    return service


def test_the_drop_ins_suit_the_unit(machine):
    drop_ins = [machine.root / f"etc/systemd/system/titand.service.d/{name}" for name in ("gpu.conf", "jtop.conf")]
    for path in drop_ins:
        path.write_text((DEPLOY / path.name).read_text())
    machine.shell("groupadd -f jtop && groupadd -f video && groupadd -f render && systemctl daemon-reload")
    try:
        said = machine.run("systemd-analyze", "verify", "--man=no", "titand.service", check=False)
        assert [line for line in (said.stdout + said.stderr).splitlines() if "titand" in line] == []
        service = Service(machine)
        service.systemctl("start")
        groups = machine.shell(f"ps -o supgrp= -p {service.show('MainPID')}")
        assert {"jtop", "video", "render"} <= set(groups.split(","))
        service.systemctl("stop")
    finally:
        for path in drop_ins:
            path.unlink()
        machine.shell("systemctl daemon-reload")


def test_start_returns_once_the_daemon_takes_samples(machine):
    service = Service(machine)
    service.systemctl("start")
    assert service.show("SubState") == "running"
    assert service.ask("push", "3")["accepted"] == 3


def test_groups_decide_who_may_push_and_who_may_steer(service):
    sockets = service.machine.shell("stat -c '%n %A %U:%G' /run/titand /run/titand/*.sock").splitlines()
    assert sockets == [
        "/run/titand drwxr-x--- titand:titand",
        "/run/titand/admin.sock srw-rw---- titand:titand-admin",
        "/run/titand/titand.sock srw-rw---- titand:titand",
    ]
    assert service.ask("push", "1", user="alice")["accepted"] == 1
    for user, verb in (("mallory", "training"), ("alice", "pause")):
        with pytest.raises(AssertionError, match=r"(?i)permission|unreachable"):
            service.ask(verb, user=user)
    service.ask("pause", user="bob")
    service.until("training.state == 'paused'")
    service.ask("resume", user="bob")


def test_the_limits_reach_the_kernel(service):
    group = service.show("ControlGroup")
    for name, expected in (("pids/%s/pids.max", "512"), ("%s/pids.max", "512")):
        if (path := Path("/sys/fs/cgroup") / (name % group.lstrip("/"))).exists():
            assert path.read_text().strip() == expected
    pid = service.show("MainPID")
    status = service.machine.shell(f"cat /proc/{pid}/status")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)


def test_a_killed_daemon_is_back_with_its_state(service):
    before = service.train()
    pid = service.show("MainPID")
    restarts = int(service.show("NRestarts"))
    mark = service.machine.cursor()
    service.machine.shell(f"kill -9 {pid}")
    service.machine.wait_for("Started .*titand", mark)

    after = service.until("training.state == 'waiting'")

    assert int(service.show("NRestarts")) == restarts + 1
    assert after["daemon"]["pid"] != int(pid)
    assert 0 < after["round_count"] <= before["round_count"]
    assert balances(after["sample_ledger"])


def test_a_killed_worker_is_back_and_the_unit_is_not_restarted(service):
    main, restarts = service.show("MainPID"), service.show("NRestarts")
    lost = service.ask("training")["sample_ledger"]["lost_count"]
    for worker in ("selector", "trainer", "telemetry", "front"):
        service.machine.shell(f"kill -9 {service.pid_of(worker)}")
        after = service.train()
    assert (service.show("MainPID"), service.show("NRestarts")) == (main, restarts)
    assert after["sample_ledger"]["lost_count"] == lost
    assert balances(after["sample_ledger"])


def test_a_stopped_worker_counts_as_hung_and_is_replaced(service):
    main = service.show("MainPID")
    pid = service.pid_of("selector")
    service.machine.shell(f"kill -STOP {pid}")

    service.until(f"all(each.pid not in (0, {pid}) for each in training.daemon.processes if each.name == 'selector')")

    service.train()
    assert service.show("MainPID") == main


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(service):
    pid = service.show("MainPID")
    mark = service.machine.cursor()
    service.machine.shell(f"kill -STOP {pid}")

    service.machine.wait_for("Watchdog timeout", mark)
    service.machine.wait_for("Started .*titand", mark)

    assert service.until("training.state == 'waiting'")["daemon"]["pid"] != int(pid)


def test_a_reload_changes_what_may_change(service):
    pid = service.show("MainPID")
    config = service.machine.root / "etc/titand/titand.toml"
    text = config.read_text()
    mark = service.machine.cursor()
    config.write_text(text.replace("# candidates = 30 ", "candidates = 20 "))
    service.systemctl("reload")
    service.machine.wait_for("candidates", mark)
    service.until("training.selection.candidate_budget == 20")
    config.write_text(text)
    service.systemctl("reload")
    assert service.show("MainPID") == pid


def test_a_stop_is_clean_and_leaves_no_process(service):
    service.machine.shell(f"kill -STOP {service.pid_of('trainer')}")  # even when a worker does not listen
    service.systemctl("stop")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert service.machine.run("pgrep", "-u", "titand", check=False).stdout == ""
    assert not (Path(f"/proc/{service.machine.leader}/root") / "run/titand").exists()


def test_a_restart_goes_on_where_it_stopped(service):
    before = service.train()
    service.systemctl("restart")
    after = service.until("training.state == 'waiting'")
    assert after["round_count"] == before["round_count"]
    assert after["sample_ledger"] == before["sample_ledger"]


def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used(service):
    before = service.train()
    service.systemctl("stop")
    state = service.machine.root / STATE.lstrip("/")
    newest = max(state.glob("*.bundle"))
    contents = bytearray(newest.read_bytes())
    contents[len(contents) // 2] ^= 1
    newest.write_bytes(contents)
    mark = service.machine.cursor()

    service.systemctl("start")

    after = service.until("training.state == 'waiting'")
    assert 0 < after["round_count"] <= before["round_count"]
    assert [path.name for path in state.glob("*.broken-*")] == [f"{newest.name}.broken-1"]
    assert newest.with_name(f"{newest.name}.broken-1").read_bytes() == contents
    service.machine.wait_for(newest.name, mark)
    assert balances(after["sample_ledger"])


def test_a_disk_that_refuses_at_the_start_is_waited_for(service):
    service.systemctl("stop")
    service.machine.shell("mount -t tmpfs -o nr_inodes=1 none /var/lib/titand")  # room for itself, and nothing else
    try:
        service.systemctl("start")
        assert service.show("StatusText").startswith("failed: /var/lib/titand/titand.lock: every inode is in use")
        service.until("training.state_reason == 'STATE_UNREADABLE'")
        pid, mark = service.show("MainPID"), service.machine.cursor()
        service.machine.wait_for("cannot start yet", mark)  # longer than the watchdog waits, by and by

        service.machine.shell("mount -o remount,nr_inodes=1000 /var/lib/titand")

        service.until("training.state == 'waiting'")
        assert service.show("MainPID") == pid
        service.systemctl("stop")
    finally:
        service.machine.shell("umount /var/lib/titand")


def test_a_wrong_configuration_is_named_and_not_tried_again(service):
    service.systemctl("stop")
    config = service.machine.root / "etc/titand/titand.toml"
    text = config.read_text()
    config.write_text(text.replace("[selection]", "[selection]\ncandidate = 20"))
    mark = service.machine.cursor()
    try:
        with pytest.raises(AssertionError):
            service.systemctl("start")
        service.machine.wait_for("selection.candidates", mark)
        assert (service.show("ExecMainStatus"), service.show("ActiveState")) == ("78", "failed")
    finally:
        config.write_text(text)


def balances(ledger: dict[str, int]) -> bool:
    """Tell whether every sample that was pushed is in exactly one column."""
    return 2 * ledger["pushed_count"] == sum(ledger.values())


@pytest.mark.parametrize("drop_in", ["", "gpu.conf", "jtop.conf"])
def test_the_unit_exposes_little(tmp_path, drop_in):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    unit = tmp_path / "titand.service"
    added = (DEPLOY / drop_in).read_text().split("[Service]")[1] if drop_in else ""
    unit.write_text((DEPLOY / "titand.service").read_text().replace("[Install]", f"{added}\n[Install]"))
    analysis = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True)
    if "unrecognized option" in analysis.stderr:
        pytest.skip("systemd-analyze is older than 250")
    score = float(re.search(r"Overall exposure level.*: ([\d.]+)", analysis.stdout)[1])
    assert score <= 1.0
