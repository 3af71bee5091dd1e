"""Bring the host up and down, whichever of the two it is. [io]"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from . import engine_host, machine, standin_host, state
from .context import Context, empty_scratch, exclusive, in_use
from .decide import Kind, decide
from .errors import HostError


def _record(context: Context) -> Path:
    return context.folders.run / "state.json"


def up(context: Context, *, is_ephemeral: bool = False) -> state.State:
    """Bring the host up, or mend what of it is down; a host that somebody keeps up is not made ephemeral."""
    began = time.monotonic()
    with exclusive(context):
        empty_scratch(context.folders)
        known = state.load(_record(context))
        # The decision stands for as long as the host does: what it set up must not change its mind.
        kind = known.kind if known else decide(machine.probe(context.runner))
        record = engine_host.up(context, known) if kind is Kind.ENGINE else standin_host.up(context)
        record = replace(record, is_ephemeral=is_ephemeral and (known is None or known.is_ephemeral))
        state.save(_record(context), record)
    context.say(f"up ({kind.value}), registry {record.registry}, after {time.monotonic() - began:.1f} s")
    return record


def down(context: Context) -> list[str]:
    """Take the host down and return what ended; leaves what was fetched and built."""
    with exclusive(context):
        known = state.load(_record(context))
        if known is not None and known.kind is Kind.ENGINE:
            ended = engine_host.down(context, known)
        else:
            # Also without a record: an `up` that was interrupted may have started some of it.
            ended = standin_host.down(context)
        _record(context).unlink(missing_ok=True)
    return ended


def purge(context: Context) -> None:
    """Remove all that a host that is down has left."""
    with exclusive(context):
        if state.load(_record(context)) is not None:
            raise HostError("the test host is up", advice="`scripts/host down` first")
        shutil.rmtree(context.folders.sockets, ignore_errors=True)
        for entry in context.folders.root.iterdir():
            # Others may be waiting for the lock, in this very file.
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)


def obstacles(context: Context) -> list[str]:
    """Return what keeps the host from being used; nothing if it is up and well."""
    known = state.load(_record(context))
    if known is None:
        return ["it is not up"]
    if known.kind is Kind.ENGINE:
        return engine_host.obstacles(context, known)
    return standin_host.obstacles(context, known)


def demand(context: Context) -> state.State:
    """Return the record of the host; raises when it is not up."""
    known = state.load(_record(context))
    if known is None:
        raise HostError("the test host is not up", advice="`scripts/host up` starts it")
    return known


def environment(context: Context) -> dict[str, str]:
    """Return the variables that lead to the host; raises when it is not up."""
    return state.environment(demand(context), context.folders, os.environ.get("PATH", os.defpath))


def run(context: Context, argv: Sequence[str]) -> int:
    """Run a command with the host up and return its exit code; the last of several takes an ephemeral host down."""
    with in_use(context.folders) as use:
        try:
            up(context, is_ephemeral=True)
            return run_command(argv, environment(context))
        finally:
            known = state.load(_record(context))
            if (known is None or known.is_ephemeral) and use.is_last():
                for ended in down(context):
                    context.say(f"ended {ended}")


def run_command(argv: Sequence[str], env: dict[str, str]) -> int:
    """Run a command in the foreground; signals meant to end this process go to it instead."""
    try:
        child = subprocess.Popen(list(argv), env={**os.environ, **env})
    except OSError as error:
        print(f"error: {argv[0]}: {error.strerror}", file=sys.stderr)
        return 127

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    # A terminal sends an interrupt to the whole group, so the child has it already.
    handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, forward),
        signal.SIGHUP: signal.signal(signal.SIGHUP, forward),
    }
    try:
        code = child.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
