"""The command line of the test host."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import host, process, state
from .context import Context
from .errors import HostError
from .folders import locate

INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    context = Context(folders=locate(os.environ, Path.home()), runner=process.run, say=_say)
    try:
        return _dispatch(options, context)
    except HostError as error:
        print(error.render(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"host: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/host",
        description="A registry, BuildKit, emulation and base images to test with.",
        epilog="BUILDONCE_HOST_DIR is the folder of everything (else buildonce-host in the user's cache);"
        " BUILDONCE_HOST_SUITE the Debian suite whose engine is taken.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the host up, or mend it")
    down = commands.add_parser("down", help="take the host down")
    down.add_argument("--purge", action="store_true", help="also remove what was fetched and built")
    for name, text in (("env", "print the variables that lead to the host"), ("status", "say whether the host is up")):
        commands.add_parser(name, help=text).add_argument("--json", action="store_true")
    run = commands.add_parser("run", help="run a command with the host up, and take it down if this brought it up")
    run.add_argument("argv", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    return parser


def _dispatch(options: argparse.Namespace, context: Context) -> int:
    match options.command:
        case "up":
            host.up(context)
            return 0
        case "down":
            return _down(context, is_purge=options.purge)
        case "env":
            _print_environment(context, is_json=options.json)
            return 0
        case "status":
            return _status(context, is_json=options.json)
        case _:
            return host.run(context, options.argv)


def _print_environment(context: Context, *, is_json: bool) -> None:
    if is_json:
        print(json.dumps(host.environment(context), indent=2))
    else:
        print(state.render_exports(host.demand(context), context.folders))


def _down(context: Context, *, is_purge: bool) -> int:
    ended = host.down(context)
    for what in ended or ["nothing: it was not up"]:
        _say(f"ended {what}")
    if is_purge:
        host.purge(context)
        _say(f"removed {context.folders.root}")
    return 0


def _status(context: Context, *, is_json: bool) -> int:
    obstacles = host.obstacles(context)
    if is_json:
        print(json.dumps({"up": not obstacles, "obstacles": obstacles}, indent=2))
    else:
        print("\n".join(obstacles) if obstacles else "up")
    return 1 if obstacles else 0
