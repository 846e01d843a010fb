"""The composition root: configuration in, processes out. Nothing imports this."""

from __future__ import annotations

import argparse
import errno
import fcntl
import gc
import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import titand
from titand.clock import Clock, SystemClock
from titand.config import Config, reloadable_changes, with_changes
from titand.config_text import config_to_json, load_config
from titand.errors import AlreadyRunning, ConfigError, StorageError, TitanError
from titand.runtime.arena import Arena, ArenaLayout, create_arena
from titand.runtime.boards import Boards, Memory, create_boards, create_memory
from titand.runtime.channels import channel_pair
from titand.runtime.children import Child
from titand.runtime.descriptors import Descriptors, create_text
from titand.runtime.disk_wait import DiskWait
from titand.runtime.image import restore_image
from titand.runtime.ledger import Ledger
from titand.runtime.log import Log
from titand.runtime.parameters import create_parameters
from titand.runtime.supervisor import Rules, Supervisor
from titand.runtime.systemd import Notifier
from titand.storage.bundles import load_newest
from titand.storage.files import refusals_of, remove_partials
from titand.workers.checkpoints import (
    RETRY_SECONDS,
    SAVED,
    describe,
    facts_of,
    newest_ns,
    sample_fingerprint,
    write_last,
)

_LEAST_SLOTS = 256
_MOST_SLOTS = 16_384
# No fork handlers in the front: nothing is ever forked there, and gRPC's own break streams. One thread in the zygote
# until it has forked.
_FOR_FRONT = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
_FOR_ZYGOTE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Ends = tuple[socket.socket, socket.socket]


def main(arguments: list[str] | None = None) -> int:
    """Run `titand`; return its exit status: 0 ok, 1 failed, 2 misused, 78 configuration."""
    parser = command_line()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "demo":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if options.command == "demo":
            # Another program, in a process of its own: it has gRPC, which no process that starts workers may have.
            os.execv(sys.executable, [sys.executable, "-m", "titand.demo", *rest])
        config, origin = load_config(options.config, os.environ)
        if options.command == "check-config":
            _show_config(config, origin)
            return 0
        return serve(config, options.config, os.environ)
    except ConfigError as error:
        print(f"titand: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except TitanError as error:
        print(f"titand: {error}", file=sys.stderr)
        return 1


def command_line() -> argparse.ArgumentParser:
    """Return the whole command line."""
    parser = argparse.ArgumentParser(prog="titand", description=titand.__doc__)
    parser.add_argument("--version", action="version", version=f"titand {titand.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (("serve", "take samples and train until told to stop"),
                       ("check-config", "read the configuration, show every value that is not a default")):  # fmt: skip
        command = commands.add_parser(name, help=text, description=text)
        default = os.environ.get("TITAND_CONFIG")
        command.add_argument("--config", type=Path, default=Path(default) if default else None, metavar="FILE",
                             help="TOML file; default: $TITAND_CONFIG, else none")  # fmt: skip
    commands.add_parser(
        "demo", help="watch the whole service at work on real data; --help after it shows its options", add_help=False
    )
    return parser


def _show_config(config: Config, origin: Mapping[str, str]) -> None:
    plain = json.loads(config_to_json(config))
    for key, source in sorted(origin.items()):
        value: Any = plain
        for part in key.split("."):
            value = value[part]
        print(f"{key} = {json.dumps(value)}  # {source}")
    print(
        "The configuration is valid; all other values are defaults. Whether the model can be built shows at the start."
    )


def serve(config: Config, path: Path | None, environment: Mapping[str, str]) -> int:
    """Run the daemon until it is told to stop; return the exit status.

    Raises:
        AlreadyRunning: another daemon holds the runtime or the state folder.
        StorageError: a folder cannot be used, and trying again would not help.
    """
    clock = SystemClock()
    log = Log("titand", config.service.log_level, environment)
    state, runtime = Path(config.service.state_directory), Path(config.service.runtime_directory)
    notifier, locks = Notifier(environment), ExitStack()
    boards_descriptor, arena_descriptor = create_boards(), _create_arena(config)
    config_descriptor, boards = create_text(config_to_json(config)), Boards(boards_descriptor, clock)
    facts = {
        "version": titand.__version__,
        "pid": os.getpid(),
        "start_time_ns": clock.wall_ns(),
        "state_directory": str(state),
    }
    disk = DiskWait(RETRY_SECONDS, facts, boards, notifier, clock, log)
    answers = Descriptors(config=config_descriptor, boards=boards_descriptor)
    blocked = Child("front", _run_blocked, lambda channel: replace(answers, supervisor=channel), _FOR_FRONT, clock)

    def take_up() -> dict[str, Any]:
        locks.close()  # of a try that failed: another disk may be mounted there by now
        _take_state(config, locks, log)
        return _restore(config, Arena(arena_descriptor), boards, clock, log)

    runtime_lock = disk.until_it_lets(lambda: _take_folder(runtime))  # first: there we say what the state's disk does
    restored = disk.until_it_lets(take_up, blocked)
    notifier.status("starting")
    to_trainer, to_selector = channel_pair(), channel_pair()  # the front's end of each, and the worker's
    shared = Descriptors(
        config=config_descriptor,
        boards=boards_descriptor,
        arena=arena_descriptor,
        filled=os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK),
        parameters=create_parameters(),
        memory=create_memory(),
    )
    children = _children(shared, to_trainer, to_selector, clock)

    def reload() -> tuple[dict[str, Any], list[str]]:
        changed, later = reloadable_changes(config, load_config(path, environment)[0])
        boards.write("settings", changed)
        log.level = with_changes(config, changed).service.log_level
        return changed, later

    def exporter(name: str, format: str) -> list[str]:
        folder = str(config.snapshot_folder)
        return [
            sys.executable,
            "-m",
            "titand.workers.exporter",
            "--snapshots",
            folder,
            "--name",
            name,
            "--format",
            format,
        ]

    supervisor = Supervisor(
        *children,
        exporter=exporter,
        boards=boards,
        rules=Rules(config.service.stop_seconds, config.service.hang_seconds, config.service.restart_seconds),
        facts={**facts, **restored},
        reload=reload,
        notifier=notifier,
        clock=clock,
        log=log,
    )
    log.info("starts", version=titand.__version__, state=state, runtime=runtime)
    gc.collect()
    gc.freeze()  # the collector's marks would copy what the children share
    try:
        status = supervisor.run()
        if status != os.EX_CONFIG:  # else no sample was ever taken
            is_saved = _save_what_is_left(config, shared, boards, clock, log)
            status = status if is_saved else 1
        return status
    finally:
        locks.close()
        os.close(runtime_lock)
        for end in (*to_trainer, *to_selector):
            end.close()


def _save_what_is_left(config: Config, shared: Descriptors, boards: Boards, clock: SystemClock, log: Log) -> bool:
    """See to it that what was acknowledged outlives an orderly stop, even without a trainer; tell whether it does."""
    trainer, wishes = boards.read("trainer"), boards.read("wishes")
    if trainer is not None and trainer.content.get("state") == SAVED:
        return True
    arena = Arena(shared.arena)
    Ledger(arena, shared.filled, clock)  # finishes a transaction in which the front was killed
    paused = wishes is not None and bool(wishes.content.get("paused"))
    try:
        guard = trainer.content.get("guard", {}) if trainer is not None else {}
        facts = write_last(config, arena, shared.parameters, Memory(shared.memory).read(), paused, guard, clock)
        log.info("checkpoint in the trainer's place", version=facts.version)
        return True
    except TitanError as error:
        log.error("what was taken since the last checkpoint is lost", reason=error.reason, message=str(error))
        return False


def _children(shared: Descriptors, to_trainer: Ends, to_selector: Ends, clock: Clock) -> tuple[Child, Child, Child]:
    """Return front, zygote and telemetry, each with what it may inherit and no more."""

    def front(supervisor: int) -> Descriptors:
        return Descriptors(
            shared.config, shared.boards, shared.arena, shared.filled,
            supervisor=supervisor, trainer=to_trainer[0].fileno(), selector=to_selector[0].fileno(),
        )  # fmt: skip

    def zygote(supervisor: int) -> Descriptors:
        return Descriptors(
            shared.config, shared.boards, shared.arena, shared.filled, shared.parameters, shared.memory,
            supervisor=supervisor, trainer=to_trainer[1].fileno(), selector=to_selector[1].fileno(),
        )  # fmt: skip

    def telemetry(supervisor: int) -> Descriptors:
        return Descriptors(config=shared.config, boards=shared.boards, supervisor=supervisor)

    return (
        Child("front", _run_front, front, _FOR_FRONT, clock),
        Child("zygote", _run_zygote, zygote, _FOR_ZYGOTE, clock),
        Child("telemetry", _run_telemetry, telemetry, {}, clock),
    )


# Each imports its own in the child: the supervisor never loads gRPC, torch or psutil.


def _run_front(descriptors: Descriptors) -> int:
    from titand.front.server import main

    return main(["--fds", descriptors.to_argument()])


def _run_blocked(descriptors: Descriptors) -> int:
    from titand.front.blocked import run_blocked

    return run_blocked(descriptors)


def _run_zygote(descriptors: Descriptors) -> int:
    from titand.workers.zygote import run_zygote

    return run_zygote(descriptors)


def _run_telemetry(descriptors: Descriptors) -> int:
    from titand.workers.telemetry_process import run_telemetry

    return run_telemetry(descriptors)


def _create_arena(config: Config) -> int:
    evaluation, training = config.evaluation, config.training
    least = max(_LEAST_SLOTS, evaluation.held_out_samples + 2 * config.selection.candidates + 4 * training.batch_size)
    return create_arena(
        ArenaLayout.fitting(
            config.ingest.arena_bytes, config.model_spec.input.size_bytes, least, max(least, _MOST_SLOTS)
        )
    )


def _take_folder(folder: Path) -> int:
    """Make a folder, and lock it for this daemon; return the lock."""
    _make_folder(folder)
    return _take_lock(folder)


def _take_state(config: Config, locks: ExitStack, log: Log) -> None:
    """Take the state's folders, and remove what interrupted writes left there."""
    state, runtime = Path(config.service.state_directory), Path(config.service.runtime_directory)
    if state.resolve() != runtime.resolve():
        locks.callback(os.close, _take_folder(state))
    for folder in (config.checkpoint_folder, config.snapshot_folder, config.log_folder):
        _make_folder(folder)
        for leftover in remove_partials(folder):
            log.info("removed what an interrupted write left", path=leftover)


def _make_folder(folder: Path) -> None:
    with refusals_of(folder):
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
                raise  # another folder would not help
            raise StorageError(
                "FOLDER_UNUSABLE",
                f"Cannot make {folder}: {error.strerror}.",
                "Set service.state_directory and service.runtime_directory to folders of this user.",
            ) from error


def _take_lock(folder: Path) -> int:
    path = folder / "titand.lock"
    with refusals_of(path):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 32, 0).decode().strip() or "unknown"
            os.close(lock)
            raise AlreadyRunning(
                "ALREADY_RUNNING",
                f"Another titand, process {owner}, uses {folder}.",
                "Stop it, or give this one its own service.runtime_directory and service.state_directory.",
                {"pid": owner},
            ) from error
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except OSError:
        pass  # a full disk: the lock holds, only its owner's number is not known to others
    return lock


def _restore(config: Config, arena: Arena, boards: Boards, clock: SystemClock, log: Log) -> dict[str, Any]:
    """Put the newest checkpoint's ledger and samples into the arena; return what the board is to say about it."""
    health: list[dict[str, Any]] = []
    bundle, damaged = load_newest(config.checkpoint_folder)
    for broken in damaged:
        log.error("a damaged checkpoint was set aside", path=broken.path, defect=broken.defect)
        text = f"{broken.path.name}: {broken.defect} An older one was used if there is one. Look at the disk."
        item = {"code": "CHECKPOINT_SET_ASIDE", "severity": "warning", "message": text, "since_ns": clock.wall_ns()}
        health.append(item)
    if bundle is None:
        return {"health": health}
    facts = facts_of(bundle)
    if facts.samples != sample_fingerprint(config):
        log.warning("the checkpoint's samples are not of the configured kind", version=facts.version)
        return {"health": health}  # the trainer will refuse it, and say what to do
    if facts.paused:
        boards.write("wishes", {"paused": True, "note": "since before the restart", "since_ns": clock.wall_ns()})
    in_hand = facts.batch["round"] if facts.batch else 0
    waiting = restore_image(arena, bytes(bundle.sections["arena"]), facts.version, in_hand)
    log.info("state is back", version=facts.version, samples_waiting=waiting, clean=facts.clean)
    time_ns = newest_ns(config.checkpoint_folder) or 0
    return {"health": health, "checkpoint": describe(bundle.sections, facts, time_ns)}


if __name__ == "__main__":
    sys.exit(main())
