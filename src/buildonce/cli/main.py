"""``buildonce``: the group of commands and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import traceback
from importlib import import_module
from types import FrameType

import click

from buildonce import __version__
from buildonce.errors import Error

_BUG = 70
_INTERRUPTED = 130

_GARBAGE = 50_000
"""How many objects are made before garbage is looked for: a process that soon ends has little, and looks long."""


_COMMANDS = ("init", "plan", "build", "make", "release", "explain", "verify", "copy", "config", "ci", "doctor")
"""In the order of the help; each is the function of its name in the module of its name."""


class _Commands(click.Group):
    """Commands whose modules are loaded when they are called, or when the help describes them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's interface
        return list(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"buildonce.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="buildonce")
def main() -> None:
    """Compile once per platform, ship every image variant."""


def run() -> None:
    """Run the command line and exit with its code."""
    _read_names_as_utf8()
    gc.set_threshold(_GARBAGE)
    signal.signal(signal.SIGTERM, _end)
    code = guarded(sys.argv[1:])
    gc.freeze()  # the process ends: to look for garbage once more would take longer than to assemble an image
    sys.exit(code)


def _read_names_as_utf8() -> None:
    """Start Python anew if the locale would have it read names of files in another way, on which keys would depend.

    It has no other switch for this. A locale that names no encoding (C, POSIX) means UTF-8 to Python already.
    """
    if sys.getfilesystemencoding() != "utf-8" and sys.executable and "utf8" not in sys._xoptions:  # noqa: SLF001
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def _end(_number: int, _frame: FrameType | None) -> None:
    """End as for a keyboard interrupt: a CI that cancels a job and a container that stops ask this way."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells have it for what runs in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def guarded(arguments: list[str]) -> int:
    """Run the command line; return the exit code. No failure leaves here as a traceback, unless it was asked for."""
    try:
        result = main.main(args=arguments, prog_name="buildonce", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; no tag was moved after this")
        return _INTERRUPTED
    except Error as error:
        _say(error.report)
        if os.environ.get("GITHUB_ACTIONS"):
            _annotate(error)
        return error.exit_code
    except OSError as error:
        _say(_describe_os_error(error))
        return 1
    except UnicodeEncodeError as error:
        _say(_describe_bytes(error))
        return 1
    except Exception as error:  # noqa: BLE001  the boundary
        return _bug(error)
    return result if isinstance(result, int) else 0


def _annotate(error: Error) -> None:
    """Have the error shown at its place in the job's page."""
    from buildonce.report.ci_logs import Provider, annotate_error, find_provider

    if find_provider(os.environ) is Provider.GITHUB:
        for line in annotate_error(error, root=os.environ.get("GITHUB_WORKSPACE", "")):
            _say(line)


def _describe_os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"error[DISK]: the disk is full{where}\nhelp: make room and run the same command again; nothing is lost"
    return f"error[OS]: {error.strerror or error}{where}"


def _describe_bytes(error: UnicodeEncodeError) -> str:
    place = ascii(error.object[max(0, error.start - 30) : error.end + 10])
    return (
        f"error[TEXT]: bytes that are no UTF-8 text: {place}\n"
        "  = note: names of files and instructions are kept in records, which hold only text\n"
        "help: rename the file, or write the Dockerfile in UTF-8"
    )


def _bug(error: Exception) -> int:
    if os.environ.get("BUILDONCE_DEBUG"):
        traceback.print_exception(error)
    _say(
        f"error[BUG]: {type(error).__name__}: {error}\n"
        "  = note: this is a mistake in buildonce, not in your project\n"
        "help: run it again with BUILDONCE_DEBUG=1 and report what it prints"
    )
    return _BUG


def _say(text: str) -> None:
    click.echo(text, err=True)
