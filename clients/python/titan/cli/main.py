"""titanctl: watch and steer titand from the command line.

Exit codes: 0 done, 1 degraded or failed, 2 misused, 3 daemon unreachable.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from titan.cli.output import FAILED, MISUSED, UNREACHABLE, Misused, Output
from titan.errors import TitanError, Unreachable

INTERRUPTED = 130  # what shells expect of Ctrl-C


class Version(argparse.Action):
    """Prints the version of what is installed, which takes a while to find out."""

    def __call__(self, *_: object) -> NoReturn:
        """See `argparse.Action`."""
        from importlib.metadata import version

        print(f"titanctl {version('titand')}")
        sys.exit(0)


class Parser(argparse.ArgumentParser):
    """Raises instead of printing, so that programs get an envelope of this error too."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise Misused(f"{message}. See '{self.prog} --help'.")


def parser() -> Parser:
    """Return the whole command line."""
    # Here and not above: Ctrl-C while they are read is one for `main`.
    from titan.cli import explain, export, label, push, sample, snapshots, status, suspects, telemetry, training, watch

    each_verb = (status, watch, push, label, training, snapshots, export, telemetry, sample, suspects, explain)
    top = Parser(
        "titanctl",
        description="Watch and steer titand.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        parents=[_everywhere()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    top.set_defaults(address=None, admin_address=None, format="text")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    for verb in each_verb:
        verb.add(verbs, _everywhere())
    return top


def _everywhere() -> argparse.ArgumentParser:
    """Return the options that stand before the verb or after it."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = options.add_argument_group("everywhere")
    group.add_argument("--address", help="the daemon's socket (default: $TITAND_ADDRESS, else /run/titand/titand.sock)")
    group.add_argument("--admin-address", help="its socket for changes (default: admin.sock beside the other)")
    group.add_argument("--format", choices=("text", "json", "jsonl"), help="of what is printed (default: text)")
    group.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line, and return the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    _make_printable()
    output = Output(_format_in(words))
    try:
        args = parser().parse_args(words)
        output = Output(args.format)
        code: int = args.run(args, output)
        return code
    except Misused as error:
        output.error("MISUSED", str(error))
        return MISUSED
    except Unreachable as error:
        output.error(error.reason, error.message, error.remedy)
        return UNREACHABLE
    except TitanError as error:
        output.error(error.reason, error.message, error.remedy)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # 'titanctl watch | head'
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except UnicodeEncodeError as error:  # bytes that are no text, in what was to be sent
        output.error("MISUSED", f"{error.object!a} is not {error.encoding} text")
        return MISUSED
    except OSError as error:  # a file that was named cannot be read or written
        output.error("FILE_UNUSABLE", f"{error.filename or 'a file'}: {error.strerror or error}")
        return FAILED


def _format_in(words: Sequence[str]) -> str:
    """Return the format that a command line asks for which cannot be parsed."""
    if "--json" in words:
        return "json"
    asked = [each for word in words for each in word.split("=", 1)]
    after = asked[asked.index("--format") + 1 :] if "--format" in asked else []
    return after[0] if after and after[0] in ("json", "jsonl") else "text"


def _make_printable() -> None:
    """Let nothing fail for where it is printed to: a stream that is closed, or a locale that lacks a letter."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as we run
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
