"""Real disks that are not there: an ext4 on a loop device, on a file that qemu-storage-daemon makes up.

It needs neither a kernel module nor a virtual machine. What the file system sends to the medium goes through qemu,
which writes down every write and flush, or lets them fail on command.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

MKFS = ("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0")


def need(*programs: str) -> None:
    """Skip the test where it cannot have a disk."""
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (Debian packages qemu-system-common, e2fsprogs, mount)")
    if os.geteuid():
        pytest.skip("needs root to mount")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            pytest.skip(f"there is no {device}")


def run(*command: str | Path) -> str:
    """Run a program and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


def make_image(path: Path, megabytes: int) -> Path:
    """Make a file that holds an empty ext4."""
    with open(path, "wb") as file:
        file.truncate(megabytes << 20)
    run(*MKFS, path)
    return path


@contextlib.contextmanager
def mounted(image: Path, folder: Path, options: str = "loop") -> Iterator[Path]:
    """Mount an image or a device.

    Raises:
        OSError: it cannot be mounted.
    """
    folder.mkdir(exist_ok=True)
    run("mount", "-o", options, image, folder)
    try:
        yield folder
    finally:
        run("umount", "-l", folder)


class Disk:
    """A mounted ext4 whose medium is a graph of qemu's block drivers.

    Args:
        folder: for the image and the mount.
        nodes: of the graph, the last one on top; they may refer to "image", the file.
        megabytes: of the disk.
        options: of the mount.
    """

    def __init__(self, folder: Path, nodes: list[Mapping[str, Any]], megabytes: int = 24, options: str = "") -> None:
        need("qemu-storage-daemon", "losetup", "mkfs.ext4")
        self.work = folder
        self.image = folder / "image"
        self.folder = folder / "mnt"
        self.options = options
        self._nodes = [{"driver": "file", "node-name": "image", "filename": str(self.image)}, *nodes]
        self._megabytes = megabytes
        self._clean_up = contextlib.ExitStack()

    def __enter__(self) -> Disk:
        make_image(self.image, self._megabytes)
        self.folder.mkdir()
        with contextlib.ExitStack() as stack:
            self.export = self._start_qemu(stack)
            try:
                self.device = run("losetup", "-f", "--show", self.export)
            except OSError as error:
                pytest.skip(f"no loop device: {error}")
            stack.callback(run, "losetup", "-d", self.device)
            self.mount()
            stack.callback(self._let_go)
            self._clean_up = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up.close()

    def mount(self) -> None:
        """Mount it."""
        run("mount", *(["-o", self.options] if self.options else []), self.device, self.folder)

    def unmount(self) -> None:
        """Unmount it, if it is mounted."""
        if self.folder.is_mount():
            run("umount", self.folder)

    def _let_go(self) -> None:
        if self.folder.is_mount():
            run("umount", "-l", self.folder)  # also when a test that failed has a file open

    def forget(self) -> None:
        """Let the kernel forget what it has in memory: what is read after this is read from the medium."""
        self.unmount()
        run("blockdev", "--flushbufs", self.device)
        with open(self.export, "rb") as export:
            os.posix_fadvise(export.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.mount()

    def _start_qemu(self, stack: contextlib.ExitStack) -> Path:
        """Start the daemon, and return the file in which it shows the top of the graph."""
        export = self.work / "export"
        export.touch()
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        top = self._nodes[-1]["node-name"]
        qemu = stack.enter_context(
            subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", "qemu-storage-daemon"),  # no tests, no disk
                    *(word for node in self._nodes for word in ("--blockdev", json.dumps(node))),
                    *("--chardev", f"socket,id=monitor,fd={theirs.fileno()}", "--monitor", "chardev=monitor"),
                    *("--export", f"type=fuse,id=export,node-name={top},mountpoint={export},writable=on"),
                ],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        theirs.close()
        self._monitor = stack.enter_context(ours.makefile("rw"))
        try:
            self._monitor.readline()  # a greeting
            self.tell("qmp_capabilities")  # answered when the graph is up
        except (ConnectionError, ValueError):
            pytest.skip(f"qemu-storage-daemon: {qemu.communicate()[1].strip().rpartition(chr(10))[2]}")
        stack.callback(self.tell, "quit")
        return export

    def tell(self, verb: str, **arguments: Any) -> None:
        """Tell the daemon to do something."""
        self._monitor.write(json.dumps({"execute": verb, "arguments": arguments}) + "\n")
        self._monitor.flush()
        while "return" not in (answer := json.loads(self._monitor.readline())):
            if "error" in answer:
                raise OSError(f"qemu-storage-daemon {verb}: {answer['error']['desc']}")
