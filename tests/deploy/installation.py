"""titand as a package would install it, inside a test machine, and the service as its users see it."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.deploy.machine import Machine

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy/systemd"
BINDS = [
    (REPOSITORY / "titand", "/opt/src/titand"),
    (REPOSITORY / "clients/python/titan", "/opt/src/titan"),
    (Path(sysconfig.get_path("purelib")), "/opt/site"),
    (Path(sys.base_prefix), "/opt/python"),
]

# Shorter times than on a board, nothing else: a test does not wait a minute for the watchdog.
SHORT = """[Service]
WatchdogSec=4s
TimeoutAbortSec=1s
Environment=TITAND_SERVICE__HANG_SECONDS=3.0
Environment=TITAND_STORAGE__CHECKPOINT_SECONDS=0.5
"""


class Service:
    """The unit inside the machine, and the daemon behind it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.machine.run("systemctl", "show", "titand", "--value", "-p", name).stdout.strip()

    def systemctl(self, verb: str, check: bool = True) -> str:
        """Do something to the unit; returns when systemd says that it is done."""
        return self._run("systemctl", verb, "titand", check=check)

    def ask(self, *arguments: str, user: str = "bob") -> Any:
        """Ask the daemon through its client."""
        return json.loads(self._run("/opt/titand/bin/python", "/opt/titand/probe.py", *arguments, user=user))

    def until(self, expression: str) -> Any:
        """Return the training once the expression is true of it."""
        return self.ask("until", expression)

    def pid_of(self, process: str) -> int:
        """Return the id that a process of the daemon has inside the machine."""
        running = f"any(each.pid for each in training.daemon.processes if each.name == {process!r})"
        processes = self.until(running)["daemon"]["processes"]
        return next(int(each["pid"]) for each in processes if each["name"] == process)

    def train(self, count: int = 200) -> Any:
        """Push samples and wait until they have been trained on; return the training then."""
        rounds = self.until("True")["round_count"]  # the front may be on its way back
        self.ask("push", str(count))
        trained = f"training.round_count > {rounds} and training.state == 'waiting'"
        few = "training.sample_ledger.buffered_count < training.selection.batch_size"  # too few for another window
        return self.until(f"{trained} and {few}")

    def _run(self, *command: str, user: str = "root", check: bool = True) -> str:
        """Run a command; if it fails, tell what the daemon said meanwhile."""
        done = self.machine.run(*command, user=user, check=False)
        if check and done.returncode:
            log = self.machine.shell("journalctl -u titand -o short-precise --no-pager | tail -30")
            raise AssertionError(f"{command}: {done.stderr}\n{log}")
        return done.stdout.strip()


def install(machine: Machine) -> None:
    """Do what a package would: a virtual environment in /opt/titand, the unit, users, the configuration."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    machine.write("/opt/titand/pyvenv.cfg", "home = /opt/python/bin\ninclude-system-site-packages = false\n")
    machine.write(f"/opt/titand/lib/{version}/site-packages/titand.pth", "/opt/src\n/opt/site\n")
    (machine.root / "opt/titand/bin").mkdir()
    (machine.root / "opt/titand/bin/python").symlink_to(f"/opt/python/bin/{version}")
    for name, module in (("titand", "titand.daemon"), ("titanctl", "titan.cli.main")):
        script = f"#!/opt/titand/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
        machine.write(f"/opt/titand/bin/{name}", script, mode=0o755)
    machine.write("/opt/titand/probe.py", (REPOSITORY / "tests/deploy/probe.py").read_text())
    for source, target in (
        ("titand.service", "/etc/systemd/system/titand.service"),
        ("titand.sysusers", "/usr/lib/sysusers.d/titand.conf"),
        ("titand.tmpfiles", "/usr/lib/tmpfiles.d/titand.conf"),
        ("titand.toml", "/usr/share/titand/titand.toml"),
    ):
        machine.write(target, (DEPLOY / source).read_text())
    machine.write("/etc/systemd/system/titand.service.d/short.conf", SHORT)
    machine.shell("systemd-sysusers && systemd-tmpfiles --create titand.conf && systemctl daemon-reload")
    machine.shell("useradd -G titand alice; useradd -G titand,titand-admin bob; useradd mallory")
