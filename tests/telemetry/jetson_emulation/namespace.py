"""Mount namespaces in which a folder is /sys, made and joined by system calls."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
READ_ONLY, BIND, RECURSIVE, PRIVATE = 1, 4096, 16384, 1 << 18
ROOT_VARIABLE = "JETSON_EMULATION_ROOT"

_libc = ctypes.CDLL(None, use_errno=True)


def make(root: Path) -> None:
    """Move this process into a new namespace that looks like the board in `root`.

    Raises:
        PermissionError: this user may not make namespaces here.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _call(_libc.unshare, NEW_MOUNTS)
    else:  # an ordinary user is root in a user namespace of its own
        _call(_libc.unshare, NEW_USER | NEW_MOUNTS)
        maps = (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1"))
        for name, text in maps:
            Path("/proc/self", name).write_text(text)
    _mount(None, Path("/"), flags=RECURSIVE | PRIVATE)
    fake = root / "sys"
    for top in ("fs", "block", "dev", "module"):
        if Path("/sys", top).is_dir():
            (fake / top).mkdir(exist_ok=True)
            _mount(Path("/sys", top), fake / top, flags=BIND | RECURSIVE)
    for top in ("devices", "class"):
        _pass_through(Path("/sys", top), fake / top)
    _mount(fake, Path("/sys"), flags=BIND | RECURSIVE)
    _mount(root / "run", Path("/run"), flags=BIND)
    _mount(root / "meminfo", Path("/proc/meminfo"), flags=BIND)
    etc = root / "overlay/etc"
    try:
        _mount(Path("overlay"), Path("/etc"), kind="overlay", flags=READ_ONLY, data=f"lowerdir={etc}:/etc")
    except OSError:  # before Linux 5.11 not in a user namespace; only the release file is missing then
        _mount(etc / "group", Path("/etc/group"), flags=BIND)
    _environment(root)


def join(root: Path, pid: int) -> None:
    """Move this process into the namespace of the process `pid`, which has made it."""
    here = Path.cwd()
    # a process cannot join the user namespace that it is in
    is_other = Path(f"/proc/{pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
    kinds = ("user", "mnt") if is_other else ("mnt",)
    descriptors = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in kinds]
    for descriptor in descriptors:
        _call(_libc.setns, descriptor, 0)
        os.close(descriptor)
    os.chdir(here)
    _environment(root)


def _pass_through(real: Path, fake: Path) -> None:
    """Show this machine's entries where the board has none (control groups, disks, network)."""
    for entry in real.iterdir():
        stand_in = fake / entry.name
        if entry.is_symlink():
            if not os.path.lexists(stand_in):
                stand_in.symlink_to(entry.readlink())
        elif entry.is_dir():
            if stand_in.is_dir() and any(stand_in.iterdir()) and not os.path.ismount(stand_in):
                _pass_through(entry, stand_in)
            else:
                stand_in.mkdir(parents=True, exist_ok=True)
                _mount(entry, stand_in, flags=BIND | RECURSIVE)


def _environment(root: Path) -> None:
    os.environ[ROOT_VARIABLE] = str(root)
    os.environ["PATH"] = f"{root / 'bin'}:{os.environ.get('PATH', '')}"
    if (root / "nvml/libnvidia-ml.so.1").exists():
        os.environ["NVML_STUB_FILE"] = str(root / "nvml/values")
        os.environ["LD_LIBRARY_PATH"] = f"{root / 'nvml'}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")


def _mount(source: Path | None, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    def encode(text: object) -> bytes | None:
        return os.fsencode(str(text)) if text else None

    _call(_libc.mount, encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data))


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> None:
    if function(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{os.strerror(error)}: {function.__name__}{arguments}")
