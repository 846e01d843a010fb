"""A throw-away machine: a real systemd, booted in half a second over an overlay of this one's root.

Nothing is copied and this machine's files stay untouched: all that is written inside lands in a tmpfs that goes away
with it. The network inside is empty. Needs root, systemd-nspawn, and the right to mount.
"""

# What no manual says in one place:
#
# - nspawn reports readiness, and the PID of the booted systemd, to NOTIFY_SOCKET: no need to poll.
# - Where the host runs no systemd, --keep-unit and --register=no keep nspawn from asking one for a scope.
# - On a host with cgroup v1, nspawn shows the controllers read-only, and systemd decides at its start which of them it
#   may use. So nspawn is put into a cgroup of its own in every hierarchy, the controllers are remounted writable
#   inside, and systemd re-executes itself. Without it MemoryMax= and the rest are silently ignored.
# - The host's enabled units come along with its files: they are removed in the overlay.

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

CONTROLLERS = Path("/sys/fs/cgroup")
V1 = ("memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "devices", "freezer")
MASKED = (
    *("getty.target", "systemd-logind.service", "systemd-timesyncd.service", "systemd-resolved.service"),
    *("systemd-networkd.service", "systemd-networkd.socket", "systemd-udevd.service", "systemd-udev-trigger.service"),
    *("systemd-firstboot.service", "systemd-random-seed.service", "ldconfig.service", "systemd-hwdb-update.service"),
    *("systemd-update-utmp.service", "systemd-journal-catalog-update.service", "dev-hugepages.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dbus.service", "dbus.socket"),
)
PREFIX = "titand-machine-"  # and the process id of the tests
NAMESPACES = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--")
JOURNAL = "[Journal]\nStorage=volatile\nReadKMsg=no\nForwardToConsole=no\n"


class CannotBoot(Exception):
    """This machine does not allow it; says why."""


class Machine:
    """Boots on construction; `end` removes it without a trace.

    Args:
        binds: (folder here, folder there), read-only inside.

    Raises:
        CannotBoot: no root, no systemd-nspawn, no right to mount.
    """

    def __init__(self, binds: Sequence[tuple[Path, str]] = ()) -> None:
        if os.geteuid() != 0:
            raise CannotBoot("booting a systemd needs root")
        if not shutil.which("systemd-nspawn"):
            raise CannotBoot("systemd-nspawn is not installed (Debian package systemd-container)")
        for left in Path("/var/tmp").glob(f"{PREFIX}*"):
            if not Path(f"/proc/{left.name.removeprefix(PREFIX)}").exists():
                _remove(left.name)
        self.name = f"{PREFIX}{os.getpid()}"
        self.leader = 0
        self._nspawn: subprocess.Popen[bytes] | None = None
        # Not in /tmp: it may be small, and nspawn puts another over it inside.
        self._folder = Path("/var/tmp") / self.name
        self.root = self._folder / "root"
        try:
            self._mount()
            self._prepare()
            self._boot(binds)
            self._let_systemd_use_cgroups()
        except BaseException:
            self.end()
            raise

    def run(
        self, *command: str, user: str = "root", check: bool = True, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside; `user` gets the groups that the machine inside says."""
        become = [] if user == "root" else ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
        inside = ["nsenter", "-t", str(self.leader), *NAMESPACES, *become, *command]
        # A session of its own: whatever is killed inside, even "process 0", is not us.
        done = subprocess.run(
            inside, capture_output=True, text=True, timeout=seconds, check=False, start_new_session=True
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def shell(self, script: str, check: bool = True) -> str:
        """Run a shell script inside and return what it writes."""
        return self.run("sh", "-c", script, check=check).stdout.strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, and the folders above it."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def cursor(self) -> str:
        """Return the present end of the journal."""
        return self.run("journalctl", "-n", "0", "--show-cursor").stdout.split("cursor: ")[-1].strip()

    def wait_for(self, pattern: str, after: str, seconds: float = 30, unit: str = "titand") -> float:
        """Wait for a line of a unit's journal, and return how long after the call it came.

        Raises:
            AssertionError: it did not come in time; shows what came instead.
        """
        began, seen = time.monotonic(), b""
        # From outside: what nsenter starts inside would outlive the kill below.
        journals = f"/proc/{self.leader}/root/run/log/journal"
        follow = ["journalctl", "-D", journals, "-u", unit, "-o", "cat", "--follow", "--after-cursor", after]
        with (
            subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as journal,
            selectors.DefaultSelector() as selector,
        ):
            assert journal.stdout
            selector.register(journal.stdout, selectors.EVENT_READ)
            try:
                while selector.select(began + seconds - time.monotonic()):
                    seen += os.read(journal.stdout.fileno(), 65536)
                    if re.search(pattern, seen.decode(errors="replace"), re.MULTILINE):
                        return time.monotonic() - began
            finally:
                journal.kill()
        raise AssertionError(f"no {pattern!r} within {seconds} s, but:\n{seen.decode(errors='replace')}")

    def end(self) -> None:
        """Switch it off and remove everything."""
        if self._nspawn:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                os.kill(self.leader, signal.SIGKILL)
                self._nspawn.wait()
        _remove(self.name)

    def _mount(self) -> None:
        layers = self._folder / "layers"
        for folder in (layers, self.root):
            folder.mkdir(parents=True)
        _mount("-t", "tmpfs", "-o", "size=2g,mode=755", "tmpfs", str(layers))
        for folder in (layers / "upper", layers / "work"):
            folder.mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        _mount("-t", "overlay", "-o", options, "overlay", str(self.root))

    def _prepare(self) -> None:
        """Give it an identity and a journal of its own, and none of the host's services."""
        etc = self.root / "etc"
        units = etc / "systemd/system"
        (etc / "machine-id").unlink(missing_ok=True)
        self.write("etc/machine-id", Path("/proc/sys/kernel/random/uuid").read_text().replace("-", ""))
        self.write("etc/systemd/journald.conf.d/99-test.conf", JOURNAL)
        self.write("etc/fstab", "")
        for enabled in [*units.glob("*.wants"), *units.glob("*.requires"), self.root / "var/log/journal"]:
            shutil.rmtree(enabled, ignore_errors=True)
        for script in etc.glob("rc?.d/*"):
            script.unlink()
        for unit in MASKED:
            (units / unit).unlink(missing_ok=True)
            (units / unit).symlink_to("/dev/null")

    def _boot(self, binds: Sequence[tuple[Path, str]]) -> None:
        """Start nspawn and wait until the systemd inside is up."""
        options = f"--quiet --register=no --private-network --link-journal=no --resolv-conf=off --timezone=off \
            --console=pipe --notify-ready=yes --kill-signal=SIGRTMIN+3 --directory={self.root} --machine={self.name}"
        host_has_systemd = Path("/run/systemd/system").is_dir()
        command = [
            *("setpriv", "--pdeathsig", "TERM", "systemd-nspawn"),  # no tests, no machine
            *options.split(),
            *([] if host_has_systemd else ["--keep-unit"]),
            *(f"--bind-ro={here}:{there}" for here, there in binds),
            *("--boot", "--", "systemd.unit=multi-user.target", "systemd.log_target=journal"),
        ]
        groups = [] if host_has_systemd else self._make_groups()
        join = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
        log = self._folder / "console.log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(log, "wb") as console:
            address = f"\0{self.name}"
            ready.bind(address)
            ready.settimeout(0.5)
            self._nspawn = subprocess.Popen(
                ["sh", "-c", join, "sh", *map(str, groups), "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "NOTIFY_SOCKET": address.replace("\0", "@")},
                start_new_session=True,
            )
            self._wait_until_up(self._nspawn, ready)

    def _wait_until_up(self, nspawn: subprocess.Popen[bytes], ready: socket.socket) -> None:
        deadline, said = time.monotonic() + 60, ""
        while "READY=1" not in said:
            try:
                said = ready.recv(4096).decode()
            except TimeoutError:
                if nspawn.poll() is None and time.monotonic() < deadline:
                    continue
                console = (self._folder / "console.log").read_text()
                raise CannotBoot(f"systemd-nspawn did not get ready: {console}") from None
            if found := re.search(r"X_NSPAWN_LEADER_PID=(\d+)", said):
                self.leader = int(found[1])

    def _let_systemd_use_cgroups(self) -> None:
        if not os.path.ismount(CONTROLLERS / "memory"):
            return
        for controller in V1:
            group = CONTROLLERS / controller
            self.run("mount", "-o", "remount,rw,bind", str(group), check=False)
        self.run("systemctl", "daemon-reexec")
        self.run("systemctl", "is-system-running", "--wait", check=False)

    def _make_groups(self) -> list[Path]:
        for name in (*V1, "systemd", "unified"):
            if os.path.ismount(CONTROLLERS / name):
                (CONTROLLERS / name / self.name).mkdir()
        cpus = CONTROLLERS / "cpuset" / self.name
        if cpus.is_dir():
            for setting in ("cpuset.cpus", "cpuset.mems"):
                (cpus / setting).write_text((cpus.parent / setting).read_text())
            (cpus / "cgroup.clone_children").write_text("1")
        return _groups(self.name)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBoot(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


def _groups(name: str) -> list[Path]:
    hierarchies = (CONTROLLERS / controller for controller in (*V1, "systemd", "unified"))
    return [group for each in hierarchies if (group := each / name).is_dir()]


def _remove(name: str) -> None:
    """Remove all that a machine that has ended leaves, be it of a run that was killed."""
    folder = Path("/var/tmp") / name
    for mounted in (folder / "root", folder / "layers"):
        if mounted.is_mount():
            subprocess.run(["umount", mounted], check=True)
    shutil.rmtree(folder)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(f"/run/systemd/nspawn/propagate/{name}")
    for group in _groups(name):
        for each, _, _ in os.walk(group, topdown=False):
            os.rmdir(each)
